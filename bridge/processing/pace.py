"""Starts work no faster than the event loop can take it. No AMQP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LONG_PASS = 0.01
"""Seconds of CPU time that make a pass of the event loop long. Not wall-clock time: a process that
waits for a core is not busy itself."""
SHORT_PASSES = 10
"""Passes in a row that must be short again before the next start. A delivery or a confirm takes so
many from the socket to whoever waits for it, so none has to wait for more than one start."""
QUIET = 0.01
"""Seconds without a long pass that replace them while something urgent is under way: the broker
answers within that time."""


class Pace:
    """Calls `start` once per pass of the event loop, and not while something uses the CPU.

    More work at a time would then make everything slower, and nothing faster.
    """

    def __init__(self, start: Callable[[], None]) -> None:
        self.urgent = 0
        """Number of urgent messages under way."""
        self._start = start
        self._since = 0.0
        """CPU time of the process when `_pass` was scheduled."""
        self._is_quiet = False
        """Whether `_pass` waits for `QUIET`."""
        self._left = 0
        """Short passes that are left to wait for."""
        self._pass: asyncio.Handle | None = None
        """Set until the next call of `_passed`."""

    def soon(self) -> None:
        """Call `start` as soon as the event loop can take more work."""
        if self._pass is None:
            loop = asyncio.get_running_loop()
            self._since = time.process_time()
            self._is_quiet = bool(self._left and self.urgent)
            if self._is_quiet:
                self._pass = loop.call_later(QUIET, self._passed)
            else:
                self._pass = loop.call_soon(self._passed)

    def _passed(self) -> None:
        self._pass = None
        if time.process_time() - self._since >= LONG_PASS:
            self._left = SHORT_PASSES
        elif self._left:
            self._left = 0 if self._is_quiet else self._left - 1
        if self._left:
            self.soon()
        else:
            self._start()
