"""Histograms that also keep a sketch, for percentiles with a known error."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable

from prometheus_client import Histogram

from bridge.telemetry import sketches
from bridge.telemetry.quick_labels import QuickLabels

Sketch = Counts[int]
"""Bucket (`sketches.bucket_of`) → number of durations in it."""


current_exemplar: Callable[[], dict[str, str] | None] | None = None
"""Returns the ids of the current trace; set by `trace.start_spans`."""


class Durations(QuickLabels, Histogram):
    """A histogram that also keeps a sketch, for percentiles with a known error (`sketches`)."""

    sketch: Sketch | None = None

    def _metric_init(self) -> None:
        super()._metric_init()
        self.sketch = Counts()

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is None and current_exemplar is not None:
            exemplar = current_exemplar()
        if exemplar is None:
            # As prometheus_client does, which looks at one bound after the other.
            if amount:
                self._sum.inc(amount)
            self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)
        else:
            super().observe(amount, exemplar)
        if self.sketch is not None:
            self.sketch[sketches.bucket_of(amount)] += 1


class Waits(Durations):
    """Durations that are nearly always 0, and have no sketch."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self.sketch = None
