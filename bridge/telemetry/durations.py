"""Histograms that also keep a sketch, for percentiles with a known error."""

from __future__ import annotations

from collections import Counter as Counts

from prometheus_client import Histogram

from bridge.telemetry import sketches
from bridge.telemetry.quick_labels import QuickLabels

Sketch = Counts[int]
"""Bucket (`sketches.bucket_of`) → number of durations in it."""


def current_exemplar() -> dict[str, str] | None:
    """Return the ids of the current trace; `trace.start_spans` replaces this function."""
    return None


class Durations(QuickLabels, Histogram):
    """A histogram that also keeps a sketch, for percentiles with a known error (`sketches`)."""

    sketch: Sketch

    def _metric_init(self) -> None:
        super()._metric_init()
        self.sketch = Counts()

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        super().observe(amount, exemplar or current_exemplar())
        self.sketch[sketches.bucket_of(amount)] += 1
