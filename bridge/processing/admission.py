"""Limits concurrent attempts, and holds them back while a service is down. No AMQP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol

from bridge.messages import HIGH, NORMAL, Priority
from bridge.processing.line import Line, Slot
from bridge.processing.throttle import Throttle

FAILING_SHARE = 4
"""Failing lanes may hold one slot in this many."""
SLOW_AFTER = 2.0
"""Seconds after which an attempt counts as slow."""
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
        self.busy = 0
        """Slots in use."""
        self._slow_left = slow
        self._urgent_left = urgent
        self._free = concurrency
        self.line = Line()
        self._throttle = Throttle(self._hand_out_next) if throttled else None
        self._young: dict[Attempt, float] = {}
        """Attempts that may become slow → when they began (clock of the event loop)."""
        self._aging: asyncio.TimerHandle | None = None
        self._failing_slots = asyncio.Semaphore(max(1, concurrency // FAILING_SHARE))
        self._failing: dict[Hashable, None] = {}
        self._all = asyncio.Lock()
        self._running = 0
        self._idle: asyncio.Event | None = None
        """Set once nothing runs, while something waits for that."""

    def hold(
        self, lane: Hashable, priority: Priority = NORMAL
    ) -> AbstractAsyncContextManager[object]:
        """Wait for a free slot and hold it for the length of the block."""
        attempt = Attempt(self, lane, priority)
        return self._among_failing(attempt) if lane in self._failing else attempt

    @asynccontextmanager
    async def _among_failing(self, attempt: Attempt) -> AsyncIterator[None]:
        async with self._failing_slots, attempt:
            yield

    def begin(self, lane: Hashable, priority: Priority = NORMAL) -> Attempt | None:
        """Begin an attempt, which must be ended, if a slot is free; else return None."""
        slot = None if lane in self._failing else self._take(priority)
        return slot and Attempt(self, lane, priority).begin(slot)

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
                if self._running:
                    self._idle = asyncio.Event()
                    await self._idle.wait()
                self.busy += 1
                try:
                    yield
                finally:
                    self.busy -= 1
            finally:
                self._idle = None
                for _ in range(held):
                    self.release(Slot.SHARED)

    def _take(self, priority: Priority) -> Slot | None:
        """Take a slot that is free; None if the attempt must wait in the line for one."""
        if priority == HIGH and self._urgent_left and not self._all.locked():
            self._urgent_left -= 1
            return Slot.URGENT
        if not self._free or (self.line.present and self.line):
            return None
        if self._throttle and self._free < self.concurrency and not self._throttle.lets_start():
            return None
        self._free -= 1
        return Slot.SHARED

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
        if slot is Slot.SHARED:
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
        place.turn.set_result(Slot.SHARED)
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
        loop = asyncio.get_running_loop()
        now = loop.time()
        for attempt, began in list(self._young.items()):
            if (left := began + SLOW_AFTER - now) > 0:
                self._aging = loop.call_later(left, self._grow_old)
                return
            del self._young[attempt]
            attempt.slow_down()

    def is_failing(self, lane: Hashable) -> bool:
        """Return whether the lane's last attempt failed."""
        return lane in self._failing

    def succeeded(self, lane: Hashable) -> None:
        self._failing.pop(lane, None)

    def failed(self, lane: Hashable) -> None:
        self._failing[lane] = None
        if len(self._failing) > REMEMBERED:
            del self._failing[next(iter(self._failing))]


class Attempt:
    """One attempt, which holds a slot until it ends or becomes slow."""

    __slots__ = ("_is_slow", "_lane", "_priority", "_slot", "_slots")

    def __init__(self, slots: Slots, lane: Hashable, priority: Priority) -> None:
        self._slots = slots
        self._lane = lane
        self._priority = priority
        self._is_slow = False

    async def __aenter__(self) -> None:
        slots = self._slots
        self.begin(slots._take(self._priority) or await slots._wait(self._lane, self._priority))

    async def __aexit__(self, *error: object) -> None:
        self.end()

    def begin(self, slot: Slot) -> Attempt:
        """Begin, with a slot that was taken."""
        slots = self._slots
        self._slot = slot
        slots.busy += slot is Slot.SHARED
        slots._running += 1
        if slots._slow_left:
            # One timer for all: one for each attempt would nearly always be cancelled.
            loop = asyncio.get_running_loop()
            slots._young[self] = loop.time()
            if slots._aging is None:
                slots._aging = loop.call_later(SLOW_AFTER, slots._grow_old)
        return self

    def slow_down(self) -> None:
        if self._slots._slow_left:
            self._slots._slow_left -= 1
            self._is_slow = True
            self._give_up_slot()

    def _give_up_slot(self) -> None:
        self._slots.busy -= self._slot is Slot.SHARED
        self._slots.release(self._slot)

    def end(self) -> None:
        """End it: its slot is free."""
        slots = self._slots
        slots._young.pop(self, None)
        if self._is_slow:
            slots._slow_left += 1
        else:
            self._give_up_slot()
        slots._running -= 1
        if slots._idle is not None and not slots._running:
            slots._idle.set()


class HeldBack(NamedTuple):
    """Why a gate is closed."""

    why: str
    since: float
    """Unix time."""
    next_at: float
    """Unix time of the next probe; 0 if nothing waits for one."""


class Gate(Protocol):
    """Holds back all attempts while a service is down; `delivery.circuit_breaker` is one."""

    @property
    def is_open(self) -> bool:
        """Whether attempts may start now."""

    @property
    def held_back(self) -> HeldBack | None:
        """Why they may not, or None if they may."""

    @property
    def accepted_at(self) -> float:
        """When the service accepted something last (monotonic clock)."""

    async def passage(self, lane: Hashable) -> None:
        """Return when a lane may make an attempt."""

    def try_now(self) -> None:
        """Let a lane that waits make an attempt now."""


class OpenGate:
    """Never holds anything back."""

    is_open = True
    held_back: HeldBack | None = None
    accepted_at = float("inf")

    async def passage(self, lane: Hashable) -> None: ...

    def try_now(self) -> None: ...
