"""Whose clock differs from the monitor's, as the times in the reports tell. No I/O.

A report takes milliseconds, so the time that it carries is that of its process's clock now. One may
be late, for example after an alarm of the broker. So the least late of the latest reports counts.
"""

from __future__ import annotations

from collections import deque

import msgspec

from bridge.monitor.roster import MOST
from bridge.telemetry.reports import Consuming, HeldMessages, Report

TOLERATED = 5.0
"""Seconds by which a clock may be wrong."""
LATEST = 5
"""Reports of a process that are compared."""


class Clocks:
    """The clocks of the processes. Seconds are positive for one that is ahead of the monitor's."""

    def __init__(self) -> None:
        self._lags: dict[str, deque[float]] = {}

    def corrected(self, report: Report, now: float) -> Report:
        """Return a report that arrived at `now`, with the times that the monitor's clock had."""
        if report.ended or len(self._lags) > MOST:
            self._lags.pop(report.name, None)
            return report
        self._lags.setdefault(report.name, deque(maxlen=LATEST)).append(now - report.at)
        ahead = self.ahead(report.name)
        return _shifted(report, -ahead) if ahead else report

    def ahead(self, name: str) -> float:
        """Return by how much a process's clock is ahead; 0 if that is tolerated or unknown."""
        lags = self._lags.get(name)
        ahead = -min(lags) if lags else 0.0
        return ahead if abs(ahead) > TOLERATED else 0.0


def _shifted(report: Report, by: float) -> Report:
    return msgspec.structs.replace(
        report,
        at=report.at + by,
        started_at=report.started_at + by,
        consuming=[_shifted_part(consuming, by) for consuming in report.consuming],
    )


def _shifted_part(consuming: Consuming, by: float) -> Consuming:
    """Shift the times of a flow. 0 means none."""
    return msgspec.structs.replace(
        consuming,
        held={q: HeldMessages(h.number, h.oldest_at + by) for q, h in consuming.held.items()},
        since=consuming.since and consuming.since + by,
        next_at=consuming.next_at and consuming.next_at + by,
        turn_error_at=consuming.turn_error_at and consuming.turn_error_at + by,
    )
