"""The last minutes of snapshots, cut down to what the charts show. No I/O."""

from __future__ import annotations

from collections import deque

import msgspec

from bridge.monitor.snapshot import Latency, Snapshot
from bridge.monitor.verdict import name_of
from bridge.telemetry.reports import EVERY

KEPT = 15 * 60.0
"""Seconds."""
MOST = int(KEPT / EVERY)
"""Points, however often somebody looks."""

Percentiles = tuple[float, float, float]
"""p50, p95, p99 in seconds."""


class FlowPoint(msgspec.Struct, frozen=True, array_like=True):
    """One flow and channel at one moment; None: nobody could tell. In the page: charts.js."""

    depth: int
    oldest: float | None
    published: float | None
    settled: float | None
    queueing: Percentiles | None
    work: Percentiles | None


class Point(msgspec.Struct, frozen=True):
    at: float
    """Unix time."""
    acknowledgement: Percentiles | None
    flows: dict[str, FlowPoint]
    """By `verdict.name_of`."""


def point_of(snapshot: Snapshot) -> Point:
    return Point(
        at=round(snapshot.at, 1),
        acknowledgement=_percentiles(snapshot.acknowledgement),
        flows={
            name_of(flow): FlowPoint(
                depth=flow.depth,
                oldest=_short(flow.oldest_age),
                published=_short(flow.published),
                settled=_short(flow.settled),
                queueing=_percentiles(flow.queueing),
                work=_percentiles(flow.work),
            )
            for flow in snapshot.flows
        },
    )


class History:
    """Points of the last `KEPT` seconds, the oldest first."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=MOST)

    def add(self, point: Point) -> None:
        points = self._points
        while points and points[-1].at >= point.at:  # the clock was set back
            points.pop()
        points.append(point)
        while points[0].at < point.at - KEPT:
            points.popleft()

    @property
    def points(self) -> list[Point]:
        return list(self._points)


def _percentiles(latency: Latency | None) -> Percentiles | None:
    if latency is None:
        return None
    return _digits(latency.p50), _digits(latency.p95), _digits(latency.p99)


def _short(value: float | None) -> float | None:
    return None if value is None else _digits(value)


def _digits(value: float) -> float:
    """Three digits: more are not seen, and hundreds of points go to each page that opens."""
    return float(f"{value:.3g}")
