"""The health of this process: what its probes answer, and its end when it cannot recover.

One process has one health: `process`. A probe asks from another thread, so every method is safe to
call from any thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

STALLED = 75
"""Exit code of a process that ended itself because something in it stood still. A restart helps:
75 is EX_TEMPFAIL of sysexits.h."""
LAST = 5.0
"""Seconds that the process has to end once its work has ended."""

Problem = Callable[[], "str | None"]
"""Returns why the process cannot do its work now, or None."""


class Health:
    """Whether the process is alive (`stall`) and ready for work (`problem`)."""

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        """`end` ends the process at once with an exit code."""
        self._end = end
        self._checks: list[Problem] = []
        self._overdue: dict[object, str] = {}
        self.stall = ""
        """Why the event loop counts as dead; empty while it runs."""
        self._told = ""
        """The problem that the log has named last."""

    def check(self, problem: Problem) -> None:
        """Ask `problem` whenever a probe asks for readiness."""
        self._checks.append(problem)

    def problem(self) -> str | None:
        """Return why the process is not ready, or None."""
        if not self._checks:
            return "starting"
        found = [self.stall, *self._overdue.values(), *(check() for check in self._checks)]
        return next((problem for problem in found if problem), None)

    def is_ready(self) -> bool:
        """Return whether there is no problem; log it whenever it is another one than before.

        For probes: they answer strangers, who need not know why.
        """
        problem = self.problem() or ""
        if problem != self._told:
            self._told = problem
            if problem:
                log.info("not ready: %s", problem)
            else:
                log.info("ready")
        return not problem

    def overdue(self, what: object, why: str) -> None:
        """Count as not ready from now on: `what` should have ended."""
        self._overdue[what] = why

    def ended(self, what: object) -> None:
        """Take `overdue` back: `what` has ended after all."""
        self._overdue.pop(what, None)

    def give_up(self, why: str) -> None:
        """Log `why` and end the process with STALLED: no clean-up, nothing in it can act again.

        Unsettled messages return to their queues as soon as the broker sees the connections close.
        """
        self.stall = self.stall or why
        log.critical("the process ends with code %d, to be restarted: %s", STALLED, why)
        self._end(STALLED)

    def must_end(self) -> threading.Timer:
        """Give the process LAST seconds to end, whatever its threads and tasks still do."""
        why = f"threads or tasks did not end within {LAST:g} s"
        timer = threading.Timer(LAST, self.give_up, [why])
        timer.daemon = True
        timer.start()
        return timer


process = Health()
"""The health of this process."""
