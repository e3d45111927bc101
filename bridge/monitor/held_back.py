"""Why messages are held back: a service is down, or an operator has paused a flow. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.broker.pauses import PauseNote
from bridge.monitor.snapshot import OperatorPause, Pause
from bridge.telemetry.reports import Consuming, Report

FOLLOWS = 5.0
"""Seconds within which a process follows an operator's pause."""


def service_pause(paused: Sequence[Consuming]) -> Pause | None:
    """Return why calls are held back, since the first process does so until the first probe."""
    known = [c for c in paused if c.since]
    if not known:
        return None
    first = min(known, key=lambda c: c.since)
    probes = [c.next_at for c in known if c.next_at]
    return Pause(first.why, first.since, min(probes, default=0.0))


def operator_pause(
    note: PauseNote | None, consuming: Sequence[tuple[Report, Consuming]]
) -> OperatorPause:
    """Return who paused a flow, and which of its processes go on nevertheless."""
    if note is None:
        return OperatorPause("", 0.0, "", [])
    ignored_by = [r.name for r, c in consuming if not c.stopped and r.at > note.at + FOLLOWS]
    return OperatorPause(note.by, note.at, note.reason, ignored_by)
