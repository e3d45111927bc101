"""A deadline for a block of code, which also holds if the block ignores its cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from bridge.errors import DeadlineExceeded
from bridge.runtime import health

CLEAN_UP = 10.0
"""Seconds that cancelled work has to end, if its owner names no other time."""
PROMPT = 1.0
"""Seconds in which cancelled work normally ends; afterwards the process counts as not ready."""
STEP = 1.0
"""Seconds of each step in which time is counted, at most."""


def _never() -> bool:
    return False


class _FirstSteps:
    """The blocks of one event loop that are in their first step: one timer counts it for all.

    Most blocks end in it, and a timer for each would be cancelled.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.began: dict[deadline, float] = {}
        """When each of them began (the loop's clock)."""
        self._timer: asyncio.TimerHandle | None = None

    def add(self, block: deadline) -> None:
        self.began[block] = self.loop.time()
        if self._timer is None:
            self._timer = self.loop.call_later(STEP, self._end)

    def _end(self) -> None:
        """Give those that are still there a timer each, which fires when their step ends."""
        self._timer = None
        began, self.began = self.began, {}
        now = self.loop.time()
        for block, at in began.items():
            block.count(max(0.0, at + STEP - now))


_first_steps: _FirstSteps | None = None
"""Those of the event loop that has begun a block last."""


class deadline:
    """Cancels its block after `seconds`; ends the process if the block does not end then.

    Time is counted in steps of a second that the event loop really ran: neither a process that was
    frozen nor a loop that was blocked by other work spends the time of this block.

    Raises:
        DeadlineExceeded: the block was cancelled because its time was over.
    """

    def __init__(
        self,
        seconds: float,
        *,
        clean_up: float = CLEAN_UP,
        paused: Callable[[], object] = _never,
        expired: Callable[[], object] = _never,
    ) -> None:
        """`clean_up`: seconds that the cancelled block has to end, before the process ends.

        While `paused()` is true, no time passes. `expired()` is called when the time is over.
        """
        self._seconds = seconds
        self._left = seconds
        self._clean_up = clean_up
        self._paused = paused
        self._expired = expired
        self._timer: asyncio.TimerHandle | None = None
        self._cancelled = False

    async def __aenter__(self) -> deadline:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __enter__(self) -> deadline:
        global _first_steps
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        if _first_steps is None or _first_steps.loop is not loop:
            _first_steps = _FirstSteps(loop)
        self._first = _first_steps
        if self._left < STEP:
            self._wait()
        else:
            self._first.add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is None:
            del self._first.began[self]
            return
        self._timer.cancel()
        if self._cancelled:
            health.process.ended(self)
            if kind is asyncio.CancelledError:
                raise DeadlineExceeded(self._seconds) from error

    def count(self, seconds: float) -> None:
        """Count the first step, of which so much is left."""
        self._timer = self._loop.call_later(seconds, self._passed, STEP)

    def _wait(self) -> None:
        step = min(self._left, STEP)
        self._timer = self._loop.call_later(step, self._passed, step)

    def _passed(self, step: float) -> None:
        if not self._paused():
            self._left -= step
        if self._left > 0:
            self._wait()
            return
        self._cancelled = True
        assert self._task is not None
        self._task.cancel()
        self._expired()
        self._timer = self._loop.call_later(min(PROMPT, self._clean_up), self._is_late)

    def _is_late(self) -> None:
        why = f"work was cancelled after {self._seconds:g} s and does not end"
        health.process.overdue(self, why)
        left = max(0.0, self._clean_up - PROMPT)
        self._timer = self._loop.call_later(left, health.process.give_up, why)
