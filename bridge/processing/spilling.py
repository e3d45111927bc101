"""Moves the messages of a stalled lane to its overflow queue; `overflow` tells why and when."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from bridge.broker.channels import ConsumerChannel
from bridge.broker.overflow import Place, Window
from bridge.broker.publisher import LARGE
from bridge.broker.queues import until_confirmed
from bridge.errors import AccessRefused, MessageError
from bridge.messages import Delivery
from bridge.messages.keys import message_key
from bridge.processing.attempts import Attempts
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import Drained, M
from bridge.processing.windows import Item
from bridge.telemetry.logs import described
from bridge.telemetry.reports import HeldMessages

if TYPE_CHECKING:
    from bridge.processing.processor import Processor

log = logging.getLogger(__name__)

T = TypeVar("T")

LANES = 64
"""Lanes of a process that may overflow at a time. If more stall, they have a common cause, and
moving them makes room for no other."""
COPIES = 30
"""Copies of a lane's messages that are published at a time.

When more than 32 messages of a channel wait for one quorum queue, RabbitMQ slows the whole
connection down. If that queue does not answer, no message of this process is confirmed any more.
"""
LONGEST = 10_000
"""Messages in an overflow queue. Beyond it, the lane fills its window, then its partition's queue
fills, and at last senders are refused: one conversation must not fill the disk."""
PAUSE = 1.0
"""Seconds until what was not confirmed is published again."""


@dataclass(eq=False)
class Spilled(Generic[M]):
    """A lane whose messages go to an overflow queue."""

    lane: Lane[Item[M]]
    place: Place
    anchor: str
    """What identifies the anchor."""
    waiting: int
    """Messages in the overflow queue that were not read yet, about."""
    is_settled: bool
    """The anchor was settled, and the broker knows."""
    opening: asyncio.Task[None] = field(init=False)
    moving: asyncio.Task[None] | None = None
    held: Delivery | None = None
    """The anchor, once it is settled."""
    copies: deque[asyncio.Future[None]] = field(default_factory=deque)
    """Being published: copies of the first messages of the lane,"""
    via: object = None
    """on this channel, because two of them would not keep the order;"""
    again: int = 0
    """so many of them not for the first time: a confirm was missing before."""
    is_failing: bool = False
    """A copy was not confirmed: none follows until all can start again."""
    moved: int = 0
    """Messages that this process has moved,"""
    latest: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    """and when the latest one arrived (the event loop's clock)."""
    reader: ConsumerChannel | None = None
    """Reads the overflow queue,"""
    ahead: deque[Item[M]] = field(default_factory=deque)
    """and has read so many messages behind the one that runs, in order (`ahead`)."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever it has read something."""
    mark: str = ""
    """The latest mark that it has read."""
    dead: set[str] = field(default_factory=set)
    """Identities of messages that were dead-lettered: a second copy may follow."""


class Spilling(Generic[M]):
    """The overflowing lanes of one generation, and what moves their messages."""

    def __init__(
        self,
        processor: Processor[M],
        lanes: Lanes[Item[M]],
        attempts: Attempts[M],
        window: Window | None,
        ack: Callable[[Delivery], Awaitable[None]],
    ) -> None:
        """Without a `window` no lane overflows. `ack(delivery)` acks a moved message."""
        self.lanes: dict[Hashable, Spilled[M]] = {}
        self.leaving: dict[Hashable, list[Item[M]]] = {}
        """Lanes whose messages must stay where they are for a moment, and what arrived for them."""
        self._processor = processor
        self._lanes = lanes
        self._attempts = attempts
        self._window = window
        self._ack = ack
        self._is_refused = False

    def waiting(self) -> int:
        """Return the number of messages in the overflow queues. Safe in another thread."""
        return sum(max(0, spilled.waiting) for spilled in list(self.lanes.values()))

    def overflowed(self, held: Mapping[str, HeldMessages]) -> dict[str, int]:
        """Return how many messages of each partition's queue are in overflow queues.

        `held` are the unsettled messages of this process, by the queue that they were read from.
        """
        numbers: dict[str, int] = defaultdict(int)
        for spilled in self.lanes.values():
            place = spilled.place
            read = held[place.queue].number if place.queue in held else 0
            numbers[place.partition] += max(0, spilled.waiting) + read
        return dict(numbers)

    def keeps(self, lane: Hashable) -> bool:
        """Whether a lane overflows or is being left: then `overflow` returns its messages."""
        return lane in self.lanes or lane in self.leaving

    def deferred_behind(self, left: list[Item[M]]) -> Delivery | None:
        """Remove a deferred message that is behind one of these in its lane, and return it."""
        for delivery, message in left:
            lane = None if isinstance(message, MessageError) else message.lane()
            for item in self.leaving.get(lane, []):
                if item[0].queue == delivery.queue:
                    self.leaving[lane].remove(item)
                    return item[0]
        return None

    def may_spill(self, lane: Lane[Item[M]]) -> int | None:
        """Move the messages of a stalled lane; return how many begin to move.

        Return None if no lane can be moved.
        """
        if self._window is None or self._is_refused or len(self.lanes) >= LANES:
            return None
        if lane.head is None or self.keeps(lane.key):
            return 0
        delivery, message = lane.head
        if isinstance(message, Exception):
            return 0
        anchor = identity(delivery, message)
        place = self._window.place(delivery.queue, lane.key, anchor)
        self.spill(Spilled(lane, place, anchor, 0, is_settled=False))
        return len(lane.items)

    def spill(self, spilled: Spilled[M]) -> None:
        self.lanes[spilled.lane.key] = spilled
        spilled.opening = self._lanes.start(self._open(spilled))
        self.move(spilled)

    async def _open(self, spilled: Spilled[M]) -> None:
        place = spilled.place
        try:
            await self.insist(lambda: self._declare(place), "an overflow queue")
            log.warning("a lane of %s overflows (%d messages)", place.partition, spilled.waiting)
        except AccessRefused as error:
            # As without overflow queues: the lane may hold up its partition.
            self._is_refused = True
            self.lanes.pop(spilled.lane.key, None)
            log.error("no overflow queues: %s", error)
        except Drained:
            return

    async def _declare(self, place: Place) -> None:
        if self._window is not None:
            await self._window.open(place)

    def move(self, spilled: Spilled[M]) -> None:
        """Start to move what waits in the lane."""
        if spilled.lane.key in self.leaving or self._lanes.draining.is_set():
            return
        if spilled.opening.done():
            self._copy(spilled)
        if spilled.lane.items and (spilled.moving is None or spilled.moving.done()):
            spilled.moving = self._lanes.start(self._move_all(spilled))

    def _copy(self, spilled: Spilled[M]) -> None:
        """Start to publish copies of what waits in the lane, in order.

        A large message has a channel for itself, so others must neither follow nor precede it.
        """
        copies, items = spilled.copies, spilled.lane.items
        if spilled.is_failing:
            return
        if not copies:
            spilled.via = self._processor.queues.sequence
        for delivery, _ in islice(items, len(copies), self._room(spilled)):
            if copies and max(len(delivery.body), len(items[len(copies) - 1][0].body)) > LARGE:
                return
            put = self._processor.queues.put_aside(
                spilled.place.queue,
                delivery,
                again=len(copies) < spilled.again,
                via=spilled.via,
            )
            copy = self._lanes.start(put)  # ends with the lanes, even if nothing waits for it yet
            copy.add_done_callback(_look_at)
            copies.append(copy)

    def _room(self, spilled: Spilled[M]) -> int:
        """Return how many copies may be under way."""
        return max(0, min(COPIES, LONGEST - spilled.waiting))

    async def _move_all(self, spilled: Spilled[M]) -> None:
        """Ack each message of the lane as soon as its copy, and those before it, are confirmed."""
        await asyncio.wait([spilled.opening])
        items, copies = spilled.lane.items, spilled.copies
        try:
            while items and spilled.lane.key in self.lanes:
                if not self._lanes.draining.is_set():
                    self._copy(spilled)
                if not copies:
                    return
                await asyncio.wait([copies[0]])
                error = copies[0].exception()
                if error is not None:
                    log.warning("overflow not confirmed yet (%s)", described(error))
                    await self._start_again(spilled)
                    continue
                copies.popleft()
                delivery, _ = items.popleft()
                spilled.waiting += 1
                spilled.moved += 1
                spilled.again = max(0, spilled.again - 1)
                await self._ack(delivery)
        finally:
            for copy in copies:
                copy.cancel()
            copies.clear()

    async def _start_again(self, spilled: Spilled[M]) -> None:
        """Publish all copies again that are not acked yet, in order, after a pause."""
        copies = spilled.copies
        spilled.is_failing = True
        await asyncio.wait(copies)
        spilled.again = len(copies)
        copies.clear()
        with suppress(Drained, AccessRefused):
            await self._attempts.pause(PAUSE)
            await self.insist(lambda: self._declare(spilled.place), "an overflow queue")
        spilled.is_failing = False

    async def insist(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Repeat a call until the broker answers.

        Raises:
            AccessRefused: it refuses.
            Drained: draining began before.
        """
        results: list[T] = []

        async def once() -> None:
            results.append(await call())

        await until_confirmed(once, what, final=(AccessRefused,), pause=self._attempts.pause)
        return results[0]


def _look_at(copy: asyncio.Future[None]) -> None:
    """Look at the error of a copy: it may fail when nothing waits for it any more."""
    if not copy.cancelled():
        copy.exception()


def identity(delivery: Delivery, message: M) -> str:
    """Return what identifies this publish: a message that is published again is another one."""
    return delivery.publish_id or message_key(message)
