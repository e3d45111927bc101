"""Limits concurrent attempts. No AMQP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bridge.messages import HIGH, NORMAL, Priority
from bridge.processing.line import Line, Slot
from bridge.processing.throttle import Throttle

FAILING_SHARE = 4
"""Failing lanes may hold one slot in this many."""
SLOW_AFTER = 2.0
"""Seconds after which an attempt counts as slow."""
SHARED, URGENT = Slot.SHARED, Slot.URGENT
REMEMBERED = 10_000
"""Failing lanes remembered; beyond this number the oldest count as healthy again."""


class Slots:
    """`concurrency` slots, handed out by priority (`line.Line`).

    Lanes whose last attempt failed may hold at most a quarter of them. An attempt at a stalled
    recipient holds its slot until the timeout. Without this limit, the second and third attempts
    of a few such recipients would take all the slots.

    Up to `slow` attempts that last longer than `SLOW_AFTER` give their slots up. They wait for
    something else, such as a stalled action server, and would keep all others from running.

    `throttled` attempts use the CPU: they start one by one, and only while the event loop is not
    busy (`throttle`). Else 16 of them would share one core, and an urgent one would be the 17th.

    Beyond the slots, up to `urgent` attempts of high priority run, so that those need not wait
    until another attempt ends.
    """

    def __init__(
        self, concurrency: int, slow: int = 0, urgent: int = 0, *, throttled: bool = False
    ) -> None:
        self.concurrency = concurrency
        self._slow_left = slow
        self._urgent_left = urgent
        self._free = concurrency
        self._reserved = 0
        """Slots that are not free, and have no attempt: for one that runs alone."""
        self.line = Line()
        self._throttle = Throttle(self._hand_out_next) if throttled else None
        self._young: dict[Attempt, float] = {}
        """Attempts that may become slow → when they began (monotonic clock)."""
        self._aging: asyncio.TimerHandle | None = None
        self._failing_slots = asyncio.Semaphore(max(1, concurrency // FAILING_SHARE))
        self.failing: dict[Hashable, None] = {}
        """Lanes whose last attempt failed."""
        self._all = asyncio.Lock()
        self._running = 0
        self._idle: asyncio.Event | None = None
        """Set once nothing runs, while something waits for that."""

    @property
    def busy(self) -> int:
        """Slots in use."""
        return self.concurrency - self._free - self._reserved

    def hold(
        self, lane: Hashable, priority: Priority = NORMAL
    ) -> AbstractAsyncContextManager[object]:
        """Wait for a free slot and hold it for the length of the block."""
        held = Held(self, lane, priority)
        return self._among_failing(held) if lane in self.failing else held

    @asynccontextmanager
    async def _among_failing(self, held: Held) -> AsyncIterator[None]:
        async with self._failing_slots, held:
            yield

    def begin(self, lane: Hashable, priority: Priority = NORMAL) -> Attempt | None:
        """Begin an attempt, which must be ended, if a slot is free; else return None."""
        if self.failing and lane in self.failing:
            return None
        slot = self._take(priority)
        return None if slot is None else Attempt(self, slot)

    def hurry(self, lane: Hashable, priority: Priority) -> None:
        """Let a lane that waits for a slot go before others: an urgent message waits in it."""
        self.line.hurry(lane, priority)

    def urgent(self, change: int) -> None:
        """Note how many more or fewer urgent messages are under way."""
        if self._throttle:
            self._throttle.urgent(change)

    @asynccontextmanager
    async def hold_all(self) -> AsyncIterator[None]:
        """Wait until nothing else runs, and let nothing start for the length of the block."""
        held = 0
        async with self._all:
            try:
                while held < self.concurrency:
                    if self._take(HIGH) is None:  # never an urgent one, because of the lock
                        await self._wait(self, HIGH)
                    held += 1
                    self._reserved += 1
                if self._running:
                    self._idle = asyncio.Event()
                    await self._idle.wait()
                self._reserved -= 1
                try:
                    yield
                finally:
                    self._reserved += 1
            finally:
                self._idle = None
                self._reserved -= held
                for _ in range(held):
                    self.release(SHARED)

    def _take(self, priority: Priority) -> Slot | None:
        """Take a slot that is free; None if the attempt must wait in the line for one."""
        if priority == HIGH and self._urgent_left and not self._all.locked():
            self._urgent_left -= 1
            return URGENT
        if not self._free or (self.line.present and self.line):
            return None
        if self._throttle and self._free < self.concurrency and not self._throttle.lets_start():
            return None
        self._free -= 1
        return SHARED

    async def _wait(self, lane: Hashable, priority: Priority) -> Slot:
        """Wait in the line for a slot."""
        place = self.line.join(lane, priority)
        self._hand_out()
        try:
            return await place.turn
        except asyncio.CancelledError:
            if not place.turn.cancelled():
                self.release(place.turn.result())
            raise
        finally:
            self.line.leave(lane, place)

    def release(self, slot: Slot) -> None:
        """Take a slot back and give it to the next lane in the line."""
        if slot is SHARED:
            self._free += 1
            if self.line.present:
                self._hand_out()
            return
        place = None if self._all.locked() else self.line.next_urgent()
        if place is not None:
            place.turn.set_result(slot)
        else:
            self._urgent_left += 1

    def _hand_out(self) -> None:
        """Give the free slots to the lanes in line; with a throttle, only the first one at once."""
        while self._free and self.line:
            if self._throttle and self._free < self.concurrency:
                self._throttle.soon()
                return
            self._hand_out_one()

    def _hand_out_one(self) -> bool:
        place = self.line.next() if self._free else None
        if place is None:
            return False
        self._free -= 1
        place.turn.set_result(SHARED)
        return True

    def _hand_out_next(self, number: int) -> bool:
        """Give free slots to the next lanes in line; return whether any has started."""
        has_started = False
        while number and self._hand_out_one():
            number -= 1
            has_started = True
        self._hand_out()
        return has_started

    def _grow_old(self) -> None:
        """Have attempts that became slow give their slots up; set the timer for the next one."""
        self._aging = None
        now = time.monotonic()
        for attempt, began in list(self._young.items()):
            if (left := began + SLOW_AFTER - now) > 0:
                self._aging = asyncio.get_running_loop().call_later(left, self._grow_old)
                return
            del self._young[attempt]
            attempt.slow_down()

    def is_failing(self, lane: Hashable) -> bool:
        """Return whether the lane's last attempt failed."""
        return lane in self.failing

    def succeeded(self, lane: Hashable) -> None:
        self.failing.pop(lane, None)

    def failed(self, lane: Hashable) -> None:
        self.failing[lane] = None
        if len(self.failing) > REMEMBERED:
            del self.failing[next(iter(self.failing))]


class Attempt:
    """One attempt, which holds a slot until it ends or becomes slow."""

    __slots__ = ("_slot", "_slots")

    def __init__(self, slots: Slots, slot: Slot) -> None:
        """Begin, with a slot that was taken."""
        self._slots = slots
        self._slot: Slot | None = slot
        """None once it is slow."""
        slots._running += 1
        if slots._slow_left:
            # One timer for all: one for each attempt would nearly always be cancelled.
            slots._young[self] = time.monotonic()
            if slots._aging is None:
                slots._grow_old()

    def slow_down(self) -> None:
        slots, slot = self._slots, self._slot
        if slots._slow_left and slot is not None:
            slots._slow_left -= 1
            self._slot = None
            slots.release(slot)

    def end(self) -> None:
        """End it: its slot is free."""
        slots, slot = self._slots, self._slot
        slots._running -= 1
        slots._young.pop(self, None)
        if slot is None:
            slots._slow_left += 1
        elif slot is SHARED and not slots.line.present:  # none waits
            slots._free += 1
        else:
            slots.release(slot)
        if slots._idle is not None and not slots._running:
            slots._idle.set()


class Held:
    """A slot that is waited for at the beginning of a block, and held until its end."""

    __slots__ = ("_attempt", "_lane", "_priority", "_slots")

    def __init__(self, slots: Slots, lane: Hashable, priority: Priority) -> None:
        self._slots = slots
        self._lane = lane
        self._priority = priority

    async def __aenter__(self) -> None:
        slots = self._slots
        slot = slots._take(self._priority) or await slots._wait(self._lane, self._priority)
        self._attempt = Attempt(slots, slot)

    async def __aexit__(self, *error: object) -> None:
        self._attempt.end()
