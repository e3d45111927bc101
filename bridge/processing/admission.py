"""Limits concurrent attempts, and holds them back while a service is down. No AMQP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol, TypeVar

M_contra = TypeVar("M_contra", contravariant=True)

FAILING_SHARE = 4
"""Failing lanes may hold one slot in this many."""
SLOW_AFTER = 2.0
"""Seconds after which an attempt counts as slow."""
REMEMBERED = 10_000
"""Failing lanes remembered; beyond this number the oldest count as healthy again."""


class Slots:
    """`concurrency` slots. Lanes whose last attempt failed may hold at most a quarter of them.

    An attempt at a stalled recipient holds its slot until the timeout. Without this limit, the
    second and third attempts of a few such recipients would take all the slots.

    Up to `slow` attempts that last longer than `SLOW_AFTER` give their slots up. They wait for
    something else, such as a stalled action server, and would keep all others from running.
    """

    def __init__(self, concurrency: int, slow: int = 0) -> None:
        self.concurrency = concurrency
        self.busy = 0
        """Slots in use."""
        self._slow_left = slow
        self._slots = asyncio.Semaphore(concurrency)
        self._failing_slots = asyncio.Semaphore(max(1, concurrency // FAILING_SHARE))
        self._failing: dict[Hashable, None] = {}
        self._all = asyncio.Lock()
        self._running = 0
        self._idle = asyncio.Event()
        """Set while nothing runs."""
        self._idle.set()

    @asynccontextmanager
    async def hold(self, lane: Hashable) -> AsyncIterator[None]:
        """Wait for a free slot and hold it for the length of the block."""
        async with self._failing_slots if lane in self._failing else nullcontext():
            await self._slots.acquire()
            attempt = _Attempt(self)
            try:
                yield
            finally:
                attempt.end()

    @asynccontextmanager
    async def hold_all(self) -> AsyncIterator[None]:
        """Wait until nothing else runs, and let nothing start for the length of the block."""
        held = 0
        async with self._all:
            try:
                while held < self.concurrency:
                    await self._slots.acquire()
                    held += 1
                await self._idle.wait()
                self.busy += 1
                try:
                    yield
                finally:
                    self.busy -= 1
            finally:
                for _ in range(held):
                    self._slots.release()

    def succeeded(self, lane: Hashable) -> None:
        self._failing.pop(lane, None)

    def failed(self, lane: Hashable) -> None:
        self._failing[lane] = None
        if len(self._failing) > REMEMBERED:
            del self._failing[next(iter(self._failing))]


class _Attempt:
    """One attempt, which holds a slot until it ends or becomes slow."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._is_slow = False
        slots.busy += 1
        slots._running += 1
        slots._idle.clear()
        self._timer: asyncio.TimerHandle | None = None
        if slots._slow_left:
            self._timer = asyncio.get_running_loop().call_later(SLOW_AFTER, self._slow_down)

    def _slow_down(self) -> None:
        if self._slots._slow_left:
            self._slots._slow_left -= 1
            self._is_slow = True
            self._give_up_slot()

    def _give_up_slot(self) -> None:
        self._slots.busy -= 1
        self._slots._slots.release()

    def end(self) -> None:
        slots = self._slots
        if self._timer is not None:
            self._timer.cancel()
        if self._is_slow:
            slots._slow_left += 1
        else:
            self._give_up_slot()
        slots._running -= 1
        if not slots._running:
            slots._idle.set()


class Pace(Protocol[M_contra]):
    """Delays the attempts at the messages of some lanes; `delivery.recipients` is one."""

    def wait(self, message: M_contra) -> float:
        """Return the seconds until its lane may try again; 0: an attempt may start now."""

    def opened(self) -> None:
        """Note that a new generation starts: lanes may have run elsewhere meanwhile."""


class Unpaced:
    """Never delays anything."""

    def wait(self, message: object) -> float:
        return 0.0

    def opened(self) -> None:
        return None


class Gate(Protocol):
    """Holds back all attempts while a service is down; `delivery.circuit_breaker` is one."""

    @property
    def is_open(self) -> bool:
        """Whether attempts may start now."""

    async def passage(self, lane: Hashable) -> None:
        """Return when a lane may make an attempt."""


class OpenGate:
    """Never holds anything back."""

    is_open = True

    async def passage(self, lane: Hashable) -> None:
        return None
