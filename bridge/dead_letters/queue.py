"""Reads the dead-letter queues, and removes messages from them. It publishes nothing.

Quorum queues cannot be read without consuming. So a reader consumes, acks only what it removes, and
closes the channel, which returns the rest in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.dead_letters.filter import Filter
from bridge.errors import BrokerError, BrokerUnavailable, TopologyError
from bridge.messages import DeadLetter, Delivery, Flow

CONSUMERS = 32
"""Consumers on one channel. Up to 32, their messages return in the order of the consumers, also
after SIGKILL; with more consumers or more channels they do not (measured on 4.0.5)."""
PREFETCH = 1000
"""Messages in memory, unless the queue is longer than `CONSUMERS` times that."""
MOST_PREFETCH = 65535
"""Limit of AMQP's prefetch count."""
IDLE = 2.0
"""Seconds without a message after which the rest is considered taken by another reader."""

Depths = Mapping[Flow, int]
"""Flow → number of dead letters when the command began; later ones are not read."""


async def depths(url: Urls, topology: Topology, wanted: Filter) -> Depths:
    """Return the number of dead letters in each flow that `wanted` selects.

    Raises:
        BrokerUnavailable: the broker cannot be reached.
        TopologyError: the queue does not exist.
    """
    found: dict[Flow, int] = {}
    try:
        async with connect(url, "dead letters") as connection:
            for flow in wanted.flows:
                name = queue_name(topology, flow)
                ready = await connection.ready_messages(name)
                if ready is None:
                    raise TopologyError(
                        f"queue {name} does not exist",
                        fix="fix bridge.namespace, or declare it: rasa-bridge topology declare",
                    )
                found[flow] = ready
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"no broker: {error.problem}", fix=error.fix or "start it, or fix bridge.url"
        ) from error
    return found


def queue_name(topology: Topology, flow: Flow) -> str:
    """Return the name of a flow's dead-letter queue."""
    return next(q.name for q in topology.dead_queues() if q.routing_key == flow)


class Reading:
    """One pass over a queue, from its head to the tail at the start. Iterate once.

    The caller passes each yielded message to `remove` or `keep`, in any order; the pass ends when
    every message was. At most one consumer at a time has room for messages, otherwise they would
    arrive out of order: the next consumer starts when the previous one is full of kept messages.
    """

    def __init__(
        self, connection: Connection, channel: ConsumerChannel, queue: str, depth: int
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self.unseen = depth
        """Messages still to come; at the end, those that another reader holds or has taken."""
        self._left = depth
        """Messages that were not removed."""
        self._prefetch = prefetch_for(depth)
        self._arrived: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._undecided = 0
        self._all_decided = asyncio.Event()
        self._all_decided.set()
        self._kept = 0
        """Messages kept since the newest consumer started."""

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield each message.

        Raises:
            BrokerUnavailable: the connection was lost, or the queue was deleted.
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
        """Take a message off the queue for good."""
        await delivery.ack()
        self._left -= 1
        self._decided()

    def keep(self) -> None:
        """Leave a message on the queue."""
        self._kept += 1
        if self._kept == self._prefetch:
            self._arrived.put_nowait(None)
        self._decided()

    def _decided(self) -> None:
        self._undecided -= 1
        if not self._undecided:
            self._all_decided.set()

    async def given_back(self) -> None:
        """Return once every message that was not removed is back, or after `IDLE` seconds.

        RabbitMQ answers the close of a channel before its messages are back on the queue.
        """
        deadline = time.monotonic() + IDLE
        while time.monotonic() < deadline:
            ready = await self._connection.ready_messages(self._queue)
            if ready is None or ready >= self._left:
                return
            await asyncio.sleep(0.02)

    async def _next(self) -> Delivery | None:
        """Return the next message, or None after the last one."""
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
        if not self._arrived.empty():  # wait_for would create a task
            return self._arrived.get_nowait()
        return await asyncio.wait_for(self._arrived.get(), IDLE)

    async def _consume(self) -> None:
        self._kept = 0
        await self._channel.consume(self._queue, self._arrived.put_nowait)

    async def check(self) -> None:
        """Check that every ack has reached the broker.

        Raises:
            BrokerUnavailable: one may not have.
        """
        self._channel.check()
        await self._connection.lost(timeout=0)


def prefetch_for(depth: int) -> int:
    """Return the prefetch with which `CONSUMERS` consumers can hold the whole queue."""
    return min(max(PREFETCH, -(-depth // CONSUMERS)), MOST_PREFETCH)


@asynccontextmanager
async def reading(url: Urls, queue: str, depth: int) -> AsyncIterator[Reading]:
    """Open a pass over the first `depth` messages of a queue; messages not removed return to it."""
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
    url: Urls, topology: Topology, wanted: Filter, among: Depths
) -> AsyncGenerator[tuple[DeadLetter, Delivery], None]:
    """Yield each dead letter that matches; all stay on their queues. Close it to stop early."""
    for flow, depth in among.items():
        async with reading(url, queue_name(topology, flow), depth) as messages:
            async for delivery in messages:
                messages.keep()
                letter = DeadLetter.read(delivery, flow)
                if wanted.matches(letter):
                    yield letter, delivery


async def first(
    url: Urls, topology: Topology, wanted: Filter, limit: int
) -> tuple[list[DeadLetter], int]:
    """Return the first `limit` dead letters that match, and the number that match."""
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


async def count(url: Urls, topology: Topology, wanted: Filter, among: Depths) -> int:
    """Return the number of dead letters that match."""
    if wanted.takes_all:
        return sum(among.values())
    return sum([1 async for _ in scan(url, topology, wanted, among)])


class Purge:
    """Deletes the dead letters that match; the others stay on their queues."""

    def __init__(self, url: Urls, topology: Topology, wanted: Filter) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self.deleted = 0
        self.unseen = 0

    async def run(self, among: Depths, most: int | None, tick: Callable[[], None]) -> None:
        """Delete at most `most` dead letters (None: all); call `tick` for each one read.

        Raises:
            BrokerUnavailable: the connection was lost; the last ones may still exist.
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

    def _matches(self, delivery: Delivery, flow: Flow) -> bool:
        return self._wanted.matches(DeadLetter.read(delivery, flow))
