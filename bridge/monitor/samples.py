"""Sums the counters in the processes' reports up to rates and percentiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bridge.monitor.snapshot import Incoming, Latency
from bridge.telemetry.reports import Report
from bridge.telemetry.sketches import quantile


class Samples:
    """The samples of all reports, found by name and labels."""

    def __init__(self, reports: Iterable[Report]) -> None:
        """Reports that cover no time yet contribute nothing."""
        self._rates: list[tuple[str, dict[str, str], float]] = []
        self._sketches: list[tuple[str, dict[str, str], dict[int, float]]] = []
        self._increases: list[tuple[str, dict[str, str], float]] = []
        self._reported = False
        for report in reports:
            self._reported = True
            self._increases += [(s.name, s.labels, s.increase) for s in report.samples]
            if report.window > 0:
                self._rates += [
                    (s.name, s.labels, s.increase / report.window) for s in report.samples
                ]
                self._sketches += [
                    (s.name, s.labels, {b: n / report.window for b, n in s.counts.items()})
                    for s in report.sketches
                ]

    def rate(self, name: str, **labels: str) -> float | None:
        """Return the rate per second of a counter, over all series with these labels.

        None if no process has reported.
        """
        if not self._reported:
            return None
        return sum(rate for found, rate in self._matching(name, labels))

    def increase(self, name: str, **labels: str) -> int:
        """Return by how much a counter grew in the window, over all series with these labels."""
        return round(
            sum(
                increase
                for found, of, increase in self._increases
                if found == name and labels.items() <= of.items()
            )
        )

    def commonest(self, label: str, name: str, **labels: str) -> tuple[str, int]:
        """Return the value of a label with which a counter grew most, and by how much; "": none."""
        grown: Counter[str] = Counter()
        for found, of, increase in self._increases:
            if found == name and labels.items() <= of.items():
                grown[of.get(label, "")] += round(increase)
        return min(grown.items(), key=lambda one: (-one[1], one[0]), default=("", 0))

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the rates per second of a counter by the value of a label, the highest first."""
        rates: dict[str, float] = {}
        for found, rate in self._matching(name, labels):
            rates[found[label]] = rates.get(found[label], 0.0) + rate
        return dict(sorted(rates.items(), key=lambda one: (-one[1], one[0])))

    def latency(self, name: str, **labels: str) -> Latency | None:
        """Return the percentiles of durations in seconds; None if there were none."""
        counts: Counter[int] = Counter()
        for found, found_labels, rates in self._sketches:
            if found == name and labels.items() <= found_labels.items():
                counts.update(rates)
        return percentiles(counts)

    def incoming(self) -> list[Incoming]:
        """Return the requests of each channel that got some."""
        accepted: dict[str, float] = {}
        rejected: dict[str, dict[str, float]] = {}
        for name, labels, rate in self._rates:
            channel = labels.get("channel", "")
            if name == "acknowledgement_seconds_count":
                accepted[channel] = accepted.get(channel, 0.0) + rate
            elif name == "requests_rejected_total":
                statuses = rejected.setdefault(channel, {})
                status = labels.get("status", "")
                statuses[status] = statuses.get(status, 0.0) + rate
        return [
            Incoming(channel, accepted.get(channel, 0.0), sum(statuses.values()), statuses)
            for channel in sorted({*accepted, *rejected})
            for statuses in [rejected.get(channel, {})]
        ]

    @property
    def answers_503(self) -> bool:
        """Whether a webhook refuses messages, because it cannot publish them."""
        return any(one.statuses.get("503") for one in self.incoming())

    def _matching(
        self, name: str, labels: dict[str, str]
    ) -> Iterable[tuple[dict[str, str], float]]:
        return (
            (found, rate)
            for sample, found, rate in self._rates
            if sample == name and labels.items() <= found.items()
        )


def percentiles(counts: Mapping[int, float]) -> Latency | None:
    """Return the percentiles of a sketch; None if it is empty."""
    if not sum(counts.values()):
        return None
    return Latency(*(quantile(q, counts) for q in (0.5, 0.95, 0.99)))
