"""The dead-letter queues on a broker: look through them, take messages out. Nothing is published.

Quorum queues have no way to look without taking: a look consumes, acks only what is to go, and
closes the channel, which gives the rest back in its order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.topology import Topology
from bridge.dead_letters.filter import DeadLetter, Filter
from bridge.errors import BrokerError, BrokerUnavailable, TopologyError
from bridge.messages import Delivery

CONSUMERS = 32
"""Consumers of one channel whose messages come back in the order of the consumers (measured on
4.0.5: up to 32 they do, also after SIGKILL; with more, or on more channels, they do not)."""
PREFETCH = 1000
"""Messages in memory at most, unless the queue is longer than `CONSUMERS` times that."""
MOST_PREFETCH = 65535
IDLE = 2.0
"""Seconds without a message after which the rest counts as gone: somebody else took it."""

Depths = Mapping[str, int]
"""Flow → number of its dead letters when the command began; what is set aside later is not read."""


async def depths(url: str, topology: Topology, wanted: Filter) -> Depths:
    """Return how many dead letters each flow has that `wanted` does not rule out.

    Raises:
        BrokerUnavailable: there is no broker.
        TopologyError: there is no such queue.
    """
    found = {}
    try:
        async with connect(url, "dead letters") as connection:
            for flow in wanted.flows:
                name = queue_name(topology, flow)
                ready = await connection.ready_messages(name)
                if ready is None:
                    raise TopologyError(
                        f"no queue {name}: fix bridge.namespace, or declare it with: rasa-bridge"
                        " topology declare"
                    )
                found[flow] = ready
    except BrokerUnavailable as error:
        raise BrokerUnavailable(f"no broker: {error}; start it, or fix bridge.url") from error
    return found


def queue_name(topology: Topology, flow: str) -> str:
    return next(q.name for q in topology.dead_queues() if q.routing_key == flow)


class Reading:
    """One pass over a queue, from its head to where its tail was. Iterate once.

    What it yields must be given to `remove` or `keep`, in any order; it ends when all were. At
    most one consumer has room for messages at a time, else they would come out of order: the next
    one starts when the one before is filled with messages that are kept.
    """

    def __init__(
        self, connection: Connection, channel: ConsumerChannel, queue: str, depth: int
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self.unseen = depth
        """Still to come; at the end those that somebody else holds or has taken."""
        self._left = depth
        """Those that are not removed."""
        self._prefetch = prefetch_for(depth)
        self._arrived: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._undecided = 0
        self._all_decided = asyncio.Event()
        self._all_decided.set()
        self._kept = 0
        """Since the newest consumer started."""

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield each message.

        Raises:
            BrokerUnavailable: the connection was lost, or the queue is gone.
        """
        if self.unseen:
            await self._consume()
        while self.unseen:
            delivery = await self._next()
            if delivery is None:
                break
            self.unseen -= 1
            self._undecided += 1
            self._all_decided.clear()
            yield delivery
        await self._all_decided.wait()

    async def remove(self, delivery: Delivery) -> None:
        await delivery.ack()
        self._left -= 1
        self._decided()

    def keep(self) -> None:
        self._kept += 1
        if self._kept == self._prefetch:
            self._arrived.put_nowait(None)
        self._decided()

    def _decided(self) -> None:
        self._undecided -= 1
        if not self._undecided:
            self._all_decided.set()

    async def given_back(self) -> None:
        """Return once the queue has everything again that was not removed, or `IDLE` seconds later.

        RabbitMQ answers the close of a channel before its messages are back.
        """
        deadline = time.monotonic() + IDLE
        while time.monotonic() < deadline:
            ready = await self._connection.ready_messages(self._queue)
            if ready is None or ready >= self._left:
                return
            await asyncio.sleep(0.02)

    async def _next(self) -> Delivery | None:
        """Return the next message, or None if there is none any more."""
        while True:
            try:
                delivery = await self._arrival()
            except asyncio.TimeoutError:
                await self.check()
                if not self._undecided:
                    return None
                continue
            if delivery is not None:
                return delivery
            await self._consume()

    async def _arrival(self) -> Delivery | None:
        if not self._arrived.empty():  # wait_for costs a task each time
            return self._arrived.get_nowait()
        return await asyncio.wait_for(self._arrived.get(), IDLE)

    async def _consume(self) -> None:
        self._kept = 0
        await self._channel.consume(self._queue, self._arrived.put_nowait)

    async def check(self) -> None:
        """Raise BrokerUnavailable if an ack may not have reached the broker."""
        self._channel.check()
        await self._connection.lost(timeout=0)


def prefetch_for(depth: int) -> int:
    """How much one consumer may hold, so that `CONSUMERS` of them can hold the whole queue."""
    return min(max(PREFETCH, -(-depth // CONSUMERS)), MOST_PREFETCH)


@asynccontextmanager
async def reading(url: str, queue: str, depth: int) -> AsyncIterator[Reading]:
    """Open a pass over the first `depth` messages of a queue; what is not removed goes back."""
    async with connect(url, "dead letters") as connection:
        channel = await connection.consumer_channel(prefetch_for(depth))
        messages = Reading(connection, channel, queue, depth)
        try:
            yield messages
            await messages.check()
        finally:
            await channel.close()
            with suppress(BrokerError):
                await messages.given_back()


async def scan(
    url: str, topology: Topology, wanted: Filter, among: Depths
) -> AsyncGenerator[tuple[DeadLetter, Delivery], None]:
    """Yield every dead letter that matches; all of them stay. Close it if you stop early."""
    for flow, depth in among.items():
        async with reading(url, queue_name(topology, flow), depth) as messages:
            async for delivery in messages:
                messages.keep()
                letter = DeadLetter.read(delivery, flow)
                if wanted.matches(letter):
                    yield letter, delivery


async def first(
    url: str, topology: Topology, wanted: Filter, limit: int
) -> tuple[list[DeadLetter], int]:
    """Return the first dead letters that match, and how many do."""
    among = await depths(url, topology, wanted)
    letters: list[DeadLetter] = []
    total = 0
    async with aclosing(scan(url, topology, wanted, among)) as found:
        async for letter, _ in found:
            total += 1
            if len(letters) < limit:
                letters.append(letter)
            elif wanted.takes_all:
                return letters, sum(among.values())
    return letters, total


async def count(url: str, topology: Topology, wanted: Filter, among: Depths) -> int:
    """Return how many dead letters match."""
    if wanted.takes_all:
        return sum(among.values())
    return sum([1 async for _ in scan(url, topology, wanted, among)])


class Purge:
    """Deletes the dead letters that match; the others stay."""

    def __init__(self, url: str, topology: Topology, wanted: Filter) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self.deleted = 0
        self.unseen = 0

    async def run(self, among: Depths, most: int | None, tick: Callable[[], None]) -> None:
        """Delete at most `most`; call `tick` for each dead letter that was looked at.

        Raises:
            BrokerUnavailable: the connection was lost; the last ones may be there still.
        """
        for flow, depth in among.items():
            async with reading(self._url, queue_name(self._topology, flow), depth) as messages:
                async for delivery in messages:
                    if self.deleted != most and self._matches(delivery, flow):
                        await messages.remove(delivery)
                        self.deleted += 1
                    else:
                        messages.keep()
                    tick()
            self.unseen += messages.unseen

    def _matches(self, delivery: Delivery, flow: str) -> bool:
        return self._wanted.matches(DeadLetter.read(delivery, flow))
