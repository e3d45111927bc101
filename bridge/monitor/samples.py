"""Sums the counters in the processes' reports up to rates and percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bridge.monitor.snapshot import Latency
from bridge.telemetry.metrics import BOUNDS
from bridge.telemetry.reports import Report


class Samples:
    """The samples of all reports, found by name and labels."""

    def __init__(self, reports: Iterable[Report]) -> None:
        """Reports that cover no time yet contribute nothing."""
        self._rates: list[tuple[str, dict[str, str], float]] = []
        self._reported = False
        for report in reports:
            self._reported = True
            if report.window > 0:
                self._rates += [
                    (s.name, s.labels, s.increase / report.window) for s in report.samples
                ]

    def rate(self, name: str, **labels: str) -> float | None:
        """Return the rate per second of a counter, over all series with these labels.

        None if no process has reported.
        """
        if not self._reported:
            return None
        return sum(rate for found, rate in self._matching(name, labels))

    def latency(self, name: str, **labels: str) -> Latency | None:
        """Return the percentiles of a histogram in seconds; None if it is empty."""
        buckets = dict.fromkeys((*BOUNDS[name], math.inf), 0.0)
        for found, rate in self._matching(f"{name}_seconds_bucket", labels):
            # The bounds of another version may differ.
            if (bound := float(found["le"])) in buckets:
                buckets[bound] += rate
        return percentiles(buckets)

    def _matching(
        self, name: str, labels: dict[str, str]
    ) -> Iterable[tuple[dict[str, str], float]]:
        return (
            (found, rate)
            for sample, found, rate in self._rates
            if sample == name and labels.items() <= found.items()
        )


def percentiles(buckets: dict[float, float]) -> Latency | None:
    """Return percentiles of cumulative buckets (upper bound in seconds → count); None if empty.

    Interpolates linearly within a bucket, as Prometheus' `histogram_quantile` does. A percentile
    above the last finite bound is that bound.
    """
    bounds = sorted(buckets)
    if buckets[bounds[-1]] <= 0:
        return None
    return Latency(*(_quantile(q, bounds, buckets) for q in (0.5, 0.95, 0.99)))


def _quantile(q: float, bounds: list[float], buckets: dict[float, float]) -> float:
    wanted = q * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if bound == math.inf:
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower
