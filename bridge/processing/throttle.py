"""Starts work no faster than the event loop can take it. No AMQP.

A turn of Rasa uses the CPU for many milliseconds at a time. If 16 of them share an event loop, each
step of an urgent message waits for 16 such pieces: its delivery, its turn, the confirm of its
reply. So work starts one by one, and only once everything that is ready has run.

Work whose steps are short needs no throttle. Each start would cost a pass of the event loop, and a
write to the broker that other messages could share. So once many passes in which work has started
were short, several may start in one pass, until one is long.

All durations are of CPU time: a process that waits for a core is not busy itself. Reading the
clock of the CPU is a system call, so that of the wall is read first: it is never behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONG_PASS = 0.01
"""Seconds after which a pass of the event loop is long. Then the loop is busy, until it is calm."""
CALM_PASS = 0.0001
"""Seconds up to which a pass is calm: at most one small step ran."""
CALM_PASSES = 12
"""Calm passes in a row after which the loop is calm. A publish and its confirm take as many."""
MOST_PASSES = 100
"""Passes after which work starts although the loop is not calm: something else may run forever."""
EXACT = 0.005
"""Seconds by which the CPU time of a pass may be overestimated, while the loop is not busy."""
LIGHT_AFTER = 50
"""Passes in a row, in which work started and which were not long, after which work is light."""
TOGETHER = 8
"""Light work that waits: so many start in one pass."""
AT_ONCE = 0.004
"""Seconds of a pass in which light work starts at once, without waiting for the next one."""
PAUSE = 0.02
"""Seconds that a busy loop then leaves to urgent messages: in that time the broker, or the action
server, answers. It costs other messages up to a third of their rate, while urgent ones run."""


class Throttle:
    """Calls `start(number)` once per pass of the event loop, and not while the loop is busy."""

    def __init__(self, start: Callable[[int], bool]) -> None:
        """`start` starts up to `number` pieces of work; it returns whether it started any."""
        self._start = start
        self._urgent = 0
        """Number of urgent messages under way."""
        self._since = 0.0
        """When the pass began (wall clock)."""
        self._read_at = self._cpu = 0.0
        """When the clock of the CPU was read (wall clock), and what it showed."""
        self._is_wanted = False
        """Whether work waits."""
        self._has_started = False
        """Whether work has started in this pass."""
        self._light = 0
        """Passes in a row in which work started, and which were not long."""
        self._is_busy = False
        self._is_patient = False
        """Whether urgent messages had their pause."""
        self._passes = 0
        self._calm_passes = 0
        self._waiting: asyncio.Handle | None = None
        """Set until the next call of `_passed`."""

    def urgent(self, change: int) -> None:
        """Note how many more or fewer urgent messages are under way."""
        self._urgent += change
        if not self._urgent and isinstance(self._waiting, asyncio.TimerHandle):
            self._waiting.cancel()
            self._waiting = asyncio.get_running_loop().call_soon(self._passed)

    def lets_start(self) -> bool:
        """Return whether work may start at once, because it is light; then it must start."""
        if self._is_wanted or self._light < LIGHT_AFTER:
            return False
        if self._waiting is None:
            self._watch()
        elif time.perf_counter() - self._since >= AT_ONCE:
            return False
        self._has_started = True
        return True

    def soon(self) -> None:
        """Call `start` as soon as the event loop can take more work."""
        self._is_wanted = True
        self._watch()

    def _watch(self) -> None:
        """See how long this pass takes."""
        if self._waiting is None:
            self._begin()
            self._waiting = asyncio.get_running_loop().call_soon(self._passed)

    def _begin(self) -> None:
        """Note the beginning of a pass."""
        self._since = now = time.perf_counter()
        if self._is_busy or now - self._read_at > EXACT:
            self._read_at, self._cpu = now, time.thread_time()

    def _used(self) -> float:
        """Return the CPU time of the pass in seconds, or more if that makes no difference."""
        passed = time.perf_counter() - self._since
        if passed < (CALM_PASS if self._is_busy else LONG_PASS):
            return passed
        return time.thread_time() - self._cpu

    def _passed(self) -> None:
        self._waiting = None
        used = self._used()
        if self._has_started:
            self._has_started = False
            self._light = self._light + 1 if used < LONG_PASS else 0
        if not self._is_wanted:
            return
        if used >= LONG_PASS:
            self._is_busy = True
            self._is_patient = False
            self._passes = self._calm_passes = 0
        elif self._is_busy:
            self._passes += 1
            self._calm_passes = self._calm_passes + 1 if used < CALM_PASS else 0
            if self._calm_passes >= CALM_PASSES or self._passes >= MOST_PASSES:
                self._is_busy = bool(self._urgent) and not self._is_patient
                if self._is_busy:
                    self._pause()
                    return
        if self._is_busy:
            self._watch()
            return
        self._is_wanted = False
        if self._start(TOGETHER if self._light >= LIGHT_AFTER else 1):
            self._watch()
            self._has_started = True

    def _pause(self) -> None:
        self._is_patient = True
        self._passes = self._calm_passes = 0
        self._begin()
        self._waiting = asyncio.get_running_loop().call_later(PAUSE, self._passed)
