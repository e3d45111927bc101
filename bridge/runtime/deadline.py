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

    __slots__ = (
        *("_cancelled", "_clean_up", "_expired", "_left", "_paused", "_seconds", "_since"),
        *("_steps", "_task", "_timer"),
    )

    def __init__(
        self,
        seconds: float,
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
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._steps = steps = _steps()
        self._since = steps.time()
        if self._left > STEP:
            steps.deadlines[self] = None
            if not steps.is_running:
                steps.go_on()
        else:
            self._wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._steps.deadlines.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            health.process.ended(self)
        if self._cancelled and kind is asyncio.CancelledError:
            raise DeadlineExceeded(self._seconds) from error

    def passed(self, before: float, now: float) -> None:
        """Count the time since the last step, which was `before`; the last one has a timer."""
        if not self._paused():
            self._left -= min(now - max(before, self._since), STEP)
        if self._left <= STEP:
            del self._steps.deadlines[self]
            self._wait()

    def _wait(self) -> None:
        step = min(self._left, STEP)
        self._timer = self._steps.loop.call_later(step, self._over, step)

    def _over(self, step: float) -> None:
        if not self._paused():
            self._left -= step
        if self._left > 0:
            self._wait()
            return
        self._cancelled = True
        assert self._task is not None
        self._task.cancel()
        self._expired()
        prompt = min(PROMPT, self._clean_up)
        self._timer = self._steps.loop.call_later(prompt, self._is_late)

    def _is_late(self) -> None:
        why = f"work was cancelled after {self._seconds:g} s and does not end"
        health.process.overdue(self, why)
        left = max(0.0, self._clean_up - PROMPT)
        self._timer = self._steps.loop.call_later(left, health.process.give_up, why)


class Countdown:
    """Calls a function after some seconds, which are counted as by `deadline`; to be used again."""

    __slots__ = ("_left", "_over", "_since", "_steps", "_timer")

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self._steps = _steps()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float, now: float) -> None:
        """Start to count; `now` is the time of the event loop."""
        self._left = seconds
        self._since = now
        steps = self._steps
        if seconds > STEP:
            steps.deadlines[self] = None
            if not steps.is_running:
                steps.go_on()
        else:
            self._wait()

    def stop(self) -> None:
        """Count no more."""
        self._steps.deadlines.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def passed(self, before: float, now: float) -> None:
        """Count the time since the last step, which was `before`; the last one has a timer."""
        self._left -= min(now - max(before, self._since), STEP)
        if self._left <= STEP:
            del self._steps.deadlines[self]
            self._wait()

    def _wait(self) -> None:
        self._timer = self._steps.loop.call_later(max(0.0, self._left), self._over)


class _Steps:
    """One timer for all deadlines of an event loop: most blocks end long before theirs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.time = loop.time
        self.deadlines: dict[deadline | Countdown, None] = {}
        """Those that take longer than the next step; call `go_on` if it `is_running` no more."""
        self.is_running = False
        self._latest = 0.0
        """When the step before was."""

    def go_on(self) -> None:
        """Run the next step, unless there are no deadlines."""
        self.is_running = bool(self.deadlines)
        if self.is_running:
            self._latest = self.time()
            self.loop.call_later(STEP, self._step)

    def _step(self) -> None:
        before, now = self._latest, self.time()
        self.go_on()
        for each in list(self.deadlines):
            each.passed(before, now)


_latest: _Steps | None = None


def _steps() -> _Steps:
    """Return the steps of the running loop. Nearly always, a process has one loop."""
    global _latest
    steps, loop = _latest, asyncio.get_running_loop()
    if steps is None or steps.loop is not loop:
        steps = _latest = _Steps(loop)
    return steps
