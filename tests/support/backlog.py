"""Messages put straight on the inbound queues, and requests of `rest` beside them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from bridge.broker.connection import connect
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Topology
from bridge.messages import InboundMessage, Priority
from tests.support.links import up

IN_FLIGHT = 200
"""Publishes at a time."""


async def enqueue(
    url: str,
    topology: Topology,
    messages: int,
    *,
    conversations: int = 10_000,
    name: str = "c",
    priority: Priority = "normal",
    text: str = "hello",
    channel: str = "callback",
) -> None:
    """Put `messages` of a channel on their queues; each text ends with its number.

    `name` is what the names of the conversations begin with.
    """
    publisher = Publisher(url, "backlog", topology)
    queues = Queues(publisher, topology)
    numbers = iter(range(messages))

    async def publish() -> None:
        for number in numbers:
            conversation = f"{name}{number % conversations}"
            await queues.put_inbound(
                InboundMessage(
                    id=f"{conversation}/{number // conversations}",
                    channel=channel,
                    sender_id=conversation,
                    text=text.replace("{}", f"{conversation}/{number // conversations}"),
                    input_channel=channel,
                    output_channel=channel,
                    priority=priority,
                )
            )

    async with up(publisher):
        await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))


async def waiting(url: str, topology: Topology) -> int:
    """Return the number of messages that wait on the inbound queues."""
    names = [queue.name for flow in topology.inbound_flows() for queue in flow]
    async with connect(url, "backlog") as connection:
        return sum(depth.ready for depth in (await connection.depths(names)).values())


@dataclass
class Rest:
    """Requests of the channel `rest`, each of a new conversation."""

    port: int
    text: str = "hello"
    latencies: list[float] = field(default_factory=list)
    """Seconds until the response, in the order of the responses."""
    began: list[float] = field(default_factory=list)
    """When these requests were sent, on the monotonic clock."""
    failures: list[int] = field(default_factory=list)

    async def ask(self, http: aiohttp.ClientSession, sender: str) -> None:
        """Send one request and note how long it takes."""
        url = f"http://127.0.0.1:{self.port}/webhooks/rest/webhook"
        began = time.monotonic()
        async with http.post(url, json={"sender": sender, "message": self.text}) as response:
            await response.read()
        if response.status == 200:
            self.latencies.append(time.monotonic() - began)
            self.began.append(began)
        else:
            self.failures.append(response.status)

    async def load(self, rate: float, seconds: float) -> None:
        """Send `rate` requests per second, whether or not earlier ones are answered."""
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            asking = []
            for number in range(round(rate * seconds)):
                asking.append(asyncio.create_task(self.ask(http, f"r{number}-{time.time()}")))
                await asyncio.sleep(1 / rate)
            await asyncio.gather(*asking)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile, without interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
