"""Measures the CPU time of one publish with its confirm, and of one delivery with its ack.

    python -m tests.bench.hop [--messages 3000] [--rounds 3]

Starts a private broker, and publishes and consumes in this process: on the fast path, through the
library (RASA_BRIDGE_AMQP=library), and, as the limit, with frames that were encoded before and
answers that are only counted. The rounds are interleaved. Prints the median and the spread of the
rounds in microseconds of CPU time per message. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.codec import ACK, DELIVER, METHOD, Encoder, method_id, tag_and_bits
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.library import underlay
from bridge.broker.topology import Topology
from bridge.messages import Delivery
from tests.support.broker import make_broker

WINDOW = 100
"""Publishes in flight, and unacked messages."""
BODY = b"x" * 230
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOPOLOGY = Topology("hop", inbound_partitions=1, reply_partitions=1)


async def publish(connection: Connection, messages: int) -> None:
    channel = await connection.confirm_channel()
    key = TOPOLOGY.inbound_key("anna")
    left = iter(range(messages))

    async def run() -> None:
        for n in left:
            await channel.publish(
                TOPOLOGY.inbound_exchange,
                key,
                BODY,
                kind="bench",
                message_id=str(n),
                headers={"traceparent": TRACE},
                timeout=60.0,
            )

    await asyncio.gather(*(run() for _ in range(WINDOW)))


async def consume(connection: Connection, messages: int) -> None:
    channel = await connection.consumer_channel(WINDOW)
    done = asyncio.get_running_loop().create_future()
    tasks: set[asyncio.Future[None]] = set()
    seen = 0

    def on_delivery(delivery: Delivery) -> None:
        nonlocal seen
        seen += 1
        task = asyncio.ensure_future(delivery.ack())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if seen == messages:
            done.set_result(None)

    for queue in TOPOLOGY.inbound_queues():
        await channel.consume(queue.name, on_delivery, priority=0)
    await done
    await asyncio.gather(*tasks)
    await channel.close()


class Counted:
    """The limit: encoded frames are sent, and what comes back is counted, in windows."""

    def __init__(self, connection: Connection, channel: int, messages: int) -> None:
        assert connection._tap is not None
        self._tap, self._messages, self._seen = connection._tap, messages, 0
        self._encoder = Encoder(channel, 0)
        self._frames = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tap.attach(channel, self)

    def send(self) -> None:
        """Publish the messages, `WINDOW` of them before the first confirm."""
        self._frames = self._encoder.publish(
            TOPOLOGY.inbound_exchange,
            TOPOLOGY.inbound_key("anna"),
            BODY,
            kind="bench",
            correlation_id="1",
            message_id="1",
            reply_to=None,
            headers={"traceparent": TRACE},
        )
        self._tap.write(self._frames * WINDOW)

    def take(self, kind: int, channel: int, data: bytes, start: int, end: int) -> int:
        method = method_id.unpack_from(data, start)[0] if kind == METHOD else DELIVER
        if method == ACK:
            tag, _ = tag_and_bits.unpack_from(data, start + 4)
            more = min(tag, self._messages - WINDOW) - self._seen
            if more > 0:
                self._tap.write(self._frames * more)
            self._seen = max(self._seen, tag)
        elif kind == METHOD and method == DELIVER:
            self._seen += 1
            self._tap.write(self._encoder.ack(self._seen))
        else:
            return 0 if kind == METHOD else end + 1
        if self._seen >= self._messages and not self.done.done():
            self.done.set_result(None)
        return end + 1

    def close(self) -> None:
        """Do nothing."""


async def publish_encoded(connection: Connection, messages: int) -> None:
    async with connection.own_channel() as channel:
        counted = Counted(connection, (await underlay(channel._channel)).number, messages)
        counted.send()
        await counted.done


async def consume_counted(connection: Connection, messages: int) -> None:
    channel = await connection.consumer_channel(WINDOW)
    counted = Counted(connection, channel._underlay.number, messages)
    for queue in TOPOLOGY.inbound_queues():
        await channel.consume(queue.name, lambda _: None, priority=0)
    await counted.done
    await channel.close()


async def cpu(step: Callable[[Connection, int], Awaitable[None]], url: str, messages: int) -> float:
    """Return microseconds of CPU time per message of this process."""
    async with connect(url, "bench") as connection:
        began = time.process_time()
        await step(connection, messages)
        return (time.process_time() - began) / messages * 1e6


async def measure(messages: int, rounds: int) -> None:
    broker = make_broker()
    broker.start()
    found: dict[tuple[str, str], list[float]] = {}
    try:
        async with connect(broker.url, "bench") as connection:
            await ensure_topology(connection, TOPOLOGY)
        for _ in range(rounds):
            for path, *steps in (
                ("fast path", publish, consume),
                (LIBRARY, publish, consume),
                ("limit", publish_encoded, consume_counted),
            ):
                os.environ[AMQP] = path
                for name, step in zip(("publish", "consume"), steps, strict=True):
                    took = await cpu(step, broker.url, messages)
                    found.setdefault((name, path), []).append(took)
    finally:
        broker.close()
    for (name, path), values in sorted(found.items()):
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name}  {path:9}  {statistics.median(values):5.0f} µs per message ({spread})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    uvloop.install()
    asyncio.run(measure(options.messages, options.rounds))
