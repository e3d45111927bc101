"""The health of this process: what its probes answer, and its end when it cannot recover.

One process has one health: `process`. A probe asks from another thread, so every method is safe to
call from any thread.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

log = logging.getLogger(__name__)

STALLED = 75
"""Exit code of a process that ended itself because something in it stood still. A restart helps:
75 is EX_TEMPFAIL of sysexits.h."""

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

    def check(self, problem: Problem) -> None:
        """Ask `problem` whenever a probe asks for readiness."""
        self._checks.append(problem)

    def problem(self) -> str | None:
        """Return why the process is not ready, or None."""
        standing_still = [self.stall, *list(self._overdue.values())]
        return next((text for text in standing_still if text), None) or next(
            (text for check in list(self._checks) if (text := check())), None
        )

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


process = Health()
"""The health of this process."""
