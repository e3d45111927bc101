"""Reads overflow queues, a few messages ahead of the one that runs; `overflow` tells when.

What is here ahead may join the turn of the message that runs. It stays unacked until it is settled
itself, and returns to the queue in order, whatever happens.

A consumer is not told that its queue is empty. So a mark is put there once nothing is here: what
was in the queue before arrives before the mark.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Collection, Hashable
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from bridge.broker.overflow import Window
from bridge.broker.queues import MARK
from bridge.errors import MessageError
from bridge.messages import REPEATED, Delivery, InboundMessage, Reply
from bridge.processing.lanes import Lanes
from bridge.processing.outcomes import M
from bridge.processing.partitions import Call
from bridge.processing.spilling import Spilled, Spilling
from bridge.processing.windows import Item

if TYPE_CHECKING:
    from bridge.processing.attempts import Attempts
    from bridge.processing.gathering import Gathering
    from bridge.processing.processor import Processor

D = TypeVar("D", bound=InboundMessage | Reply, covariant=True)

ARRIVES_WITHIN = 0.5
"""Seconds for which a message of the queue is waited for at a time."""


class InFlight(Protocol[D]):
    """What a generation does with its deliveries."""

    def enter(self, item: tuple[Delivery, Any]) -> None:
        """Put a message on its lane, or return it behind others that were returned."""

    def take(self, delivery: Delivery) -> D | MessageError:
        """Decode a delivery, and note that it is in flight."""

    def ack(self, delivery: Delivery, then: Call | None = None) -> Awaitable[None]:
        """Ack a delivery, as soon as it is not needed as a lock; await `then` after that."""

    async def requeue(self, delivery: Delivery) -> None:
        """Return a delivery to its queue, as soon as it is not needed as a lock.

        Raises:
            Drained: draining began before that.
        """

    def note_return(self, delivery: Delivery) -> None:
        """Note that a message is about to return to its queue."""

    async def settle_overflowed(self, item: tuple[Delivery, Any], dead: set[str]) -> None:
        """Settle a message of an overflow queue; `dead` is what was dead-lettered from it."""


class Ahead(Generic[M]):
    """The messages that one generation has read from its overflow queues."""

    gathering: Gathering[M]
    """Tells what joins a turn; set by the generation."""

    def __init__(
        self,
        processor: Processor[M],
        open_lanes: Lanes[Item[M]],
        attempts: Attempts[M],
        spilling: Spilling[M],
        window: Window | None,
        in_flight: InFlight[M],
    ) -> None:
        self._processor = processor
        self._lanes = open_lanes
        self._attempts = attempts
        self._spilling = spilling
        self._window = window
        self._in_flight = in_flight

    async def settle_next(self, spilled: Spilled[M]) -> bool:
        """Settle the oldest message of an overflow queue, and those whose turn ended with its own.

        Return False if the queue is empty.

        Raises:
            Drained: draining began.
        """
        item = await self.next(spilled)
        while item is not None:
            await self._in_flight.settle_overflowed(item, spilled.dead)
            if not (spilled.ahead and self.gathering.has_ended(spilled.ahead[0])):
                return True
            item = spilled.ahead.popleft()
        return False

    async def next(self, spilled: Spilled[M]) -> Item[M] | None:
        """Remove the oldest message of an overflow queue, and wait for those that may join it.

        Return None if the queue is empty.

        Raises:
            Drained: draining began.
        """
        await self._spilling.insist(lambda: self._read(spilled), "an overflow queue")
        if not spilled.ahead and spilled.waiting > 0:
            await self._arrival(spilled)
        if not spilled.ahead and await self._is_empty(spilled):
            return None
        delivery, message = spilled.ahead.popleft()
        self._spilling.move(spilled)
        while not self.is_full(spilled.lane.key) and spilled.waiting > 0:
            here = len(spilled.ahead)
            if isinstance(message, MessageError) or not self.gathering.wants_more(
                delivery, message
            ):
                break
            await self._arrival(spilled)
            if len(spilled.ahead) == here:
                break  # the number of those that wait is an estimate
        return delivery, message

    def behind(self, delivery: Delivery, lane: Hashable) -> list[Item[M]]:
        """Return what is here behind the message of a lane that runs, up to the first second copy.

        One may be older than what is before it, so it joins and supersedes nothing.
        """
        spilled = self._spilling.lanes.get(lane)
        if spilled is None or REPEATED in delivery.headers:
            return []
        return list(takewhile(lambda item: REPEATED not in item[0].headers, spilled.ahead))

    def latest(self, lane: Hashable) -> float:
        """Return when the latest message of a lane arrived, as far as this process knows."""
        return self._spilling.lanes[lane].latest

    def is_full(self, lane: Hashable) -> bool:
        """Whether nothing more arrives before a message is settled: one runs, others are here."""
        here = 1 + len(self._spilling.lanes[lane].ahead)
        return self._window is not None and here >= self._window.read_at_most

    async def give_back(self, spilled: Spilled[M], *running: Delivery) -> None:
        """Return messages to their overflow queue: those that ran, then all behind them."""
        reader, spilled.reader = spilled.reader, None
        if reader is None or self._window is None:
            return
        reader.abandon()
        for delivery in (*running, *(delivery for delivery, _ in spilled.ahead)):
            self._in_flight.note_return(delivery)
            spilled.waiting += 1
        spilled.ahead.clear()
        await self._window.stop_reading(reader)

    async def _read(self, spilled: Spilled[M]) -> None:
        if spilled.reader is None and self._window is not None:
            take = partial(self._take, spilled)
            spilled.reader = await self._window.read(spilled.place, take)

    def _take(self, spilled: Spilled[M], delivery: Delivery) -> None:
        if delivery.kind == MARK:
            spilled.mark = delivery.message_id or ""
            self._lanes.start(_ack(delivery))
        else:
            spilled.waiting -= 1
            message = self._in_flight.take(delivery)
            spilled.ahead.append((delivery, message))
            if not isinstance(message, MessageError):
                self.gathering.arrived(delivery, message)
        spilled.arrived.set()

    async def _is_empty(self, spilled: Spilled[M]) -> bool:
        """Whether nothing arrives before a mark that is put behind everything now."""
        mark, queue = secrets.token_hex(16), spilled.place.queue
        await self._spilling.insist(lambda: self._processor.queues.put_mark(queue, mark), "a mark")
        while spilled.mark != mark and not spilled.ahead:
            await self._arrival(spilled)
        return not spilled.ahead

    async def _arrival(self, spilled: Spilled[M]) -> None:
        """Wait a moment, or until a message or a mark arrives.

        Raises:
            Drained: draining began.
        """
        spilled.arrived.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(spilled.arrived.wait(), ARRIVES_WITHIN)
        self._attempts.go_on()


def is_dead(delivery: Delivery, message: InboundMessage | Reply, dead: Collection[str]) -> bool:
    """Whether a message is a second copy of one that was dead-lettered."""
    return delivery.redelivered and message.identity in dead


async def _ack(delivery: Delivery) -> None:
    await delivery.ack()
