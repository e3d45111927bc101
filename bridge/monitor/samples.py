"""What the processes counted lately, summed up: rates and percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bridge.monitor.snapshot import Latency
from bridge.telemetry.metrics import BOUNDS
from bridge.telemetry.reports import Report


class Samples:
    """The samples of many reports, by name and labels."""

    def __init__(self, reports: Iterable[Report]) -> None:
        """Reports that cover no time yet are left out."""
        self._rates: list[tuple[str, dict[str, str], float]] = []
        self.any = False
        for report in reports:
            self.any = True
            if report.window > 0:
                self._rates += [
                    (s.name, s.labels, s.increase / report.window) for s in report.samples
                ]

    def rate(self, name: str, **labels: str) -> float | None:
        """Return the sum per second of what has these labels; None if nobody has reported."""
        if not self.any:
            return None
        return sum(rate for found, rate in self._matching(name, labels))

    def latency(self, name: str, **labels: str) -> Latency | None:
        """Return the percentiles of a histogram; None if it counted nothing."""
        buckets = dict.fromkeys((*BOUNDS[name], math.inf), 0.0)
        for found, rate in self._matching(f"{name}_seconds_bucket", labels):
            if (bound := float(found["le"])) in buckets:  # another version may have other bounds
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

    Linear within a bucket, as Prometheus' `histogram_quantile`; past the last finite bound, that
    bound.
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
