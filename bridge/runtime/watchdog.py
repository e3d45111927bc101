"""A thread that watches the event loop: it names what blocks it, and ends a process that is stuck.

Everything else in a role runs on the event loop, so a handler that blocks it (`time.sleep`, a
synchronous request) also silences heartbeats, shutdown and supervision. The watchdog runs outside.
A handler that holds Python's global lock, such as a runaway regular expression, stops threads too:
for that case a timer of the operating system ends the process.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from bridge.runtime import health, work
from bridge.runtime.work import Work
from bridge.telemetry import logs

log = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two ticks of the loop, and between two looks of the thread."""
HEARTBEAT = 10.0
"""Seconds of the broker's heartbeat; a loop that is silent for two of them is reported."""
LONGEST_SILENCE = 300.0
"""Seconds of silence after which the process ends."""
LOCKED = 30.0
"""Further seconds of CPU time after which a process ends whose threads cannot run."""


class Watchdog:
    """Watches the event loop that runs while it is started.

    Silence is counted in looks of the thread, not by the clock: a process that was frozen (SIGSTOP,
    a suspended machine) was not silent.
    """

    def __init__(
        self,
        heartbeat: float = HEARTBEAT,
        longest: float = LONGEST_SILENCE,
        convict: Callable[[Work], None] | None = None,
    ) -> None:
        """The process ends after `longest` seconds of silence, but not before it was reported.

        `convict(work)` is called in a thread, after one heartbeat of silence, if the work that
        blocks the loop is known: RabbitMQ redelivers its message after two. Times are in seconds.
        """
        self._accuse_after = heartbeat
        self._report_after = 2 * heartbeat
        self._longest = max(longest, 2.5 * heartbeat)
        self._convict = convict
        self._stopped = threading.Event()
        self._ticks = 0
        self._culprit: Work | None = None
        """What blocks the loop now, if that is known."""

    def start(self) -> None:
        """Watch the running event loop. Call it from the thread of the loop."""
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        work.note_started_tasks(self._loop)
        if hasattr(signal, "setitimer"):
            faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its timers."""
        self._stopped.set()
        self._timer.cancel()
        # Its last act may be to set the timer.
        self._thread.join(INTERVAL)
        self._allow(0)

    def _tick(self) -> None:
        self._ticks += 1
        self._timer = self._loop.call_later(INTERVAL, self._tick)

    def _watch(self) -> None:
        seen, silent = 0, 0.0
        while not self._stopped.wait(INTERVAL):
            self._allow(self._longest + LOCKED)
            if seen != self._ticks:
                if health.process.stall:
                    log.warning("the event loop runs again after %.0f s", silent)
                    health.process.stall = ""
                seen, silent, self._culprit = self._ticks, 0.0, None
                continue
            silent += INTERVAL
            if silent >= self._accuse_after and not self._culprit:
                self._accuse()
            if silent >= self._report_after and not health.process.stall:
                self._report(silent)
            if silent >= self._longest:
                health.process.give_up(f"the event loop stood still for {silent:.0f} s")

    def _accuse(self) -> None:
        self._culprit = work.of(asyncio.current_task(self._loop))
        if self._culprit and not self._culprit.blocked:
            self._culprit.blocked = True
            if self._convict:
                threading.Thread(target=self._convict, args=[self._culprit], daemon=True).start()

    def _report(self, silent: float) -> None:
        health.process.stall = f"the event loop has been silent for {silent:.0f} s"
        suspects = [self._culprit] if self._culprit else list(work.running)
        for suspect in suspects:
            suspect.blocked = True
            with logs.bound(**suspect.ids):
                what = "blocks" if self._culprit else "may block"
                log.error("a message %s the event loop, silent for %.0f s", what, silent)
        frame = sys._current_frames().get(self._thread_id)
        stack = "".join(traceback.format_stack(frame)).rstrip()
        log.error("the event loop is silent; it stands here:\n%s", stack)

    def _allow(self, seconds: float) -> None:
        """Let the process use that much CPU time (0: any) before SIGPROF ends it.

        CPU time, because a frozen process uses none. The signal's handler needs no lock.
        """
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, seconds)
