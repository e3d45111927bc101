"""The last 15 minutes of snapshots, reduced to the values in the charts. No I/O."""

from __future__ import annotations

from collections import deque

import msgspec

from bridge.monitor.problem import name_of
from bridge.monitor.snapshot import Latency, Snapshot
from bridge.telemetry.reports import EVERY

HISTORY_SECONDS = 15 * 60.0
MAX_POINTS = int(HISTORY_SECONDS / EVERY)

Percentiles = tuple[float, float, float]
"""p50, p95, p99 in seconds."""


class FlowPoint(msgspec.Struct, frozen=True, array_like=True):
    """One flow and channel at one moment; None means unknown. The page reads it in trends.js."""

    depth: int | None
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
    """Name of the flow (`problems.name_of`) → its point."""


def point_of(snapshot: Snapshot) -> Point:
    return Point(
        at=round(snapshot.at, 1),
        acknowledgement=_percentiles(snapshot.acknowledgement),
        flows={
            name_of(flow): FlowPoint(
                depth=None if flow.is_depth_unknown else flow.depth,
                oldest=_rounded(flow.oldest_age),
                published=_rounded(flow.published),
                settled=_rounded(flow.settled),
                queueing=_percentiles(flow.queueing),
                work=_percentiles(flow.work),
            )
            for flow in snapshot.flows
        },
    )


class History:
    """Points of the last `HISTORY_SECONDS`, oldest first."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=MAX_POINTS)

    def add(self, point: Point) -> None:
        points = self._points
        while points and points[-1].at >= point.at:  # the clock went backwards
            points.pop()
        points.append(point)
        while points[0].at < point.at - HISTORY_SECONDS:
            points.popleft()

    @property
    def points(self) -> list[Point]:
        return list(self._points)


def _percentiles(latency: Latency | None) -> Percentiles | None:
    if latency is None:
        return None
    return _digits(latency.p50), _digits(latency.p95), _digits(latency.p99)


def _rounded(value: float | None) -> float | None:
    return None if value is None else _digits(value)


def _digits(value: float) -> float:
    """Round to three digits: a chart shows no more, and each new page gets hundreds of points."""
    return float(f"{value:.3g}")
