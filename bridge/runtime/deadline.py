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
        self._cancelled = False

    async def __aenter__(self) -> deadline:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        health.process.ended(self)
        if self._cancelled and kind is asyncio.CancelledError:
            raise DeadlineExceeded(self._seconds) from error

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
