"""Overflow queues: the messages of a stalled lane wait there, and not in its partition's window.

| queue | what for |
| --- | --- |
| `<ns>.overflow.<lane>` | messages of one lane, in their order; one process at a time reads it |
| `<ns>.overflow.<lane>.<message>` | not empty once that message was settled; it is not acked yet |
| `<ns>.overflow.<partition>` | the index: exists if a lane of the partition may have such queues |
| `<ns>.overflow.<lane>.opening` | exists until the lane's queues survive a killed broker |
| `<ns>.overflow.<lane>.<message>.last` | declared after them, which makes them survive; expires |

They are bound to the private exchange, declared when they are needed, and deleted after use.
`processing.overflow` explains when.

A quorum queue of RabbitMQ 4.0 that is killed less than a second after it created the queue never
answers again, and what it has confirmed is gone. But it writes the names of all earlier queues when
it creates another one. Until then, nothing is published to them: so while `….opening` exists, the
lane's queue is empty, and may be dead. Then it is deleted before it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from bridge.broker.arguments import DELIVERY_LIMIT, HELD_AT_MOST, HOLD
from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection
from bridge.broker.topology import Depth, Queue, Topology
from bridge.errors import BrokerError
from bridge.messages import Delivery, Flow

READ_AT_MOST = 100
"""Unacked messages of an overflow queue at most: as many as a turn may have."""

LAST_EXPIRES = 60_000
"""Milliseconds after which RabbitMQ deletes what is only declared for the sake of others."""


class Place(NamedTuple):
    """The queues of one stalled lane."""

    partition: str
    """The queue that its messages come from,"""
    queue: str
    """the queue where they wait,"""
    settled: str
    """and the one that is not empty once its oldest message was settled."""


class Found(NamedTuple):
    """What the broker has of a lane that another process may have left."""

    waiting: int | None
    """Messages in the lane's overflow queue; None if it does not exist."""
    is_settled: bool
    """The lane's oldest message was settled, but not acked."""
    is_indexed: bool = False
    """A lane of the partition may have an overflow queue."""


class Window:
    """The consuming channel of one generation, and its overflow queues.

    Raises (all methods):
        BrokerError: the connection is lost, or the user lacks a permission (AccessRefused).
    """

    def __init__(
        self,
        connection: Connection,
        channel: ConsumerChannel,
        topology: Topology,
        flow: Flow,
        prefetch: int,
    ) -> None:
        self.prefetch = prefetch
        """Unacked messages that each queue may have."""
        self._connection = connection
        self._channel = channel
        self._topology = topology
        self._flow = flow
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Partition → held while its index is declared or deleted,"""
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """and while it is looked for: that need not wait for the former."""
        self._looked: dict[str, tuple[float, bool]] = {}
        """Partition → when its index was looked for, and whether it was there."""
        self._readers: dict[ConsumerChannel, None] = {}
        self.read_at_most = min(prefetch or READ_AT_MOST, READ_AT_MOST)
        """Unacked messages that a reader may have."""

    def place(self, partition: str, lane: Hashable, key: str) -> Place:
        """Return the queues of a lane of the queue `partition`; `key` is its oldest message's."""
        parts = lane if isinstance(lane, tuple) else (lane,)
        name = self._name(_digest("\0".join((self._flow, partition, *map(str, parts))))[:32])
        return Place(partition, name, f"{name}.{_digest(key)[:16]}")

    async def look(self, place: Place, since: float) -> Found:
        """Return what exists of a lane's queues, at a moment after `since` (monotonic clock).

        One round trip tells for all lanes of a partition that there is nothing.
        """
        if not await self._has_index(place.partition, since):
            return Found(None, False)
        opening, _ = _temporary(place)
        depths = await self._connection.depths([place.queue, place.settled, opening])
        if opening in depths:
            async with self._locks[place.partition]:  # it may be this process that declares them
                depths = await self._alive(place)
        waiting, settled = depths.get(place.queue), depths.get(place.settled)
        is_settled = bool(settled and settled.ready)
        return Found(waiting.ready if waiting else None, is_settled, is_indexed=True)

    async def open(self, place: Place) -> None:
        """Declare the queues of a lane; when this returns, they survive a killed broker."""
        topology = self._topology
        keep = {"x-queue-type": "quorum", HOLD: HELD_AT_MOST}
        limits = {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": topology.dead_exchange,
            "x-dead-letter-routing-key": self._flow,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            # After a takeover, nothing is read before what the old process held has returned.
            "x-single-active-consumer": True,
        }
        opening, last = _temporary(place)
        arguments = {
            # The index first: after a crash, the next process finds the others by it.
            self._index(place.partition): keep,
            opening: keep,
            place.queue: {**keep, **limits},
            place.settled: {**keep, "x-expires": HELD_AT_MOST},
            last: {**keep, "x-expires": LAST_EXPIRES},
        }
        async with self._locks[place.partition]:
            alive = {}
            if await self._connection.depths([place.queue]):
                alive = await self._alive(place)
            if place.queue in alive:
                del arguments[opening]  # it may hold messages
            exchange = topology.private_exchange
            queues = [Queue(name, exchange, name, arguments[name]) for name in arguments]
            await self._connection.declare((), queues, passive=False)
            if opening in arguments:
                await self._connection.delete(queue=opening)

    async def _alive(self, place: Place) -> dict[str, Depth]:
        """Return the depths of a lane's queues; delete those that may be dead, and hold nothing."""
        opening, last = _temporary(place)
        depths = await self._connection.depths([place.queue, place.settled, opening])
        if opening in depths:
            kept = {name for name, depth in depths.items() if depth.ready}  # they answer
            # The lane's queue after the others: where it is missing, they are not looked for.
            for name in (last, place.settled, place.queue, opening):
                if name not in kept:
                    await self._connection.delete(queue=name)
                    depths.pop(name, None)
        return depths

    async def read(self, place: Place, on_delivery: Callable[[Delivery], None]) -> ConsumerChannel:
        """Pass the messages of a lane's overflow queue to `on_delivery`, in their order.

        The channel is for them alone: what is not acked returns in order when it is closed, also
        what is on its way then. After several `basic.get`, RabbitMQ returns it in another order.
        """

        def on_overflowed(delivery: Delivery) -> None:
            on_delivery(replace(delivery, queue=place.partition, overflowed=True))

        reader = await self._connection.consumer_channel(self.read_at_most)
        self._readers[reader] = None
        await reader.consume(place.queue, on_overflowed, priority=0)
        return reader

    async def stop_reading(self, reader: ConsumerChannel) -> None:
        """Return what a reader holds to its queue."""
        self._readers.pop(reader, None)
        await reader.close()

    def check(self) -> None:
        """Check that every consumer of the generation exists; see `ConsumerChannel.check`."""
        for channel in (self._channel, *self._readers):
            channel.check()

    def abandon(self) -> None:
        """See `ConsumerChannel.abandon`."""
        for channel in (self._channel, *self._readers):
            channel.abandon()

    async def end(self) -> None:
        """Close the channels: those of overflow queues first, since their messages are next."""
        try:
            for reader in list(self._readers):
                await self.stop_reading(reader)
        except asyncio.CancelledError:
            await self._channel.close()
            raise
        await self._channel.close()

    async def close(self, place: Place) -> None:
        """Delete a lane's overflow queue."""
        await self._connection.delete(queue=place.queue)

    async def close_index(self, partition: str, is_last: Callable[[], bool]) -> None:
        """Delete the index of a partition, unless a lane has begun to overflow meanwhile."""
        async with self._locks[partition]:
            if is_last():
                await self._connection.delete(queue=self._index(partition))

    async def forget(self, place: Place) -> None:
        """Delete what tells that a lane's oldest message was settled: it is acked now.

        Never raises: the queue expires, too.
        """
        with suppress(BrokerError):
            await self._connection.delete(queue=place.settled)

    async def depth(self, partition: str) -> Depth | None:
        """Return the depth of a partition's queue."""
        return (await self._connection.depths([partition])).get(partition)

    async def hold_back(self, partition: str) -> None:
        """See `ConsumerChannel.hold_back`."""
        await self._channel.hold_back(partition)

    async def activate(self, partition: str) -> None:
        """See `ConsumerChannel.activate`."""
        await self._channel.activate(partition)

    async def _has_index(self, partition: str, since: float) -> bool:
        async with self._looking[partition]:
            at, found = self._looked.get(partition, (0.0, False))
            if at <= since:
                at, index = time.monotonic(), self._index(partition)
                found = bool(await self._connection.depths([index]))
                self._looked[partition] = at, found
            return found

    def _index(self, partition: str) -> str:
        return self._name(partition.removeprefix(f"{self._topology.namespace}."))

    def _name(self, what: str) -> str:
        return f"{self._topology.namespace}.overflow.{what}"


def _temporary(place: Place) -> tuple[str, str]:
    """Return the names of the queues that are needed only while those of a lane are declared."""
    return f"{place.queue}.opening", f"{place.settled}.last"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
