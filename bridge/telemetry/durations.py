"""Histograms that also keep a sketch, for percentiles with a known error."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable, Iterable

from prometheus_client import Histogram
from prometheus_client.samples import Sample

from bridge.telemetry import sketches
from bridge.telemetry.quick_labels import QuickLabels

Sketch = Counts[int]
"""Bucket (`sketches.bucket_of`) → number of durations in it."""

MOST_NOTED = 500
"""Durations that one metric notes before it counts them."""

current_exemplar: Callable[[], dict[str, str] | None] | None = None
"""Returns the ids of the current trace; set by `trace.start_spans`."""


class Durations(QuickLabels, Histogram):
    """A histogram that also keeps a sketch, for percentiles with a known error (`sketches`).

    What is observed is only noted, and counted once the metric is read: many durations at once take
    a fraction of the time. One thread observes; others may read.
    """

    _noted: list[float]
    """Durations that are not counted yet."""
    _sketch: Sketch | None = None

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = []
        self._counting = threading.Lock()
        self._sketch = Counts()

    @property
    def sketch(self) -> Sketch | None:
        """The sketch of a metric that keeps one."""
        if self._sketch is not None:
            self._count()
        return self._sketch

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is None and current_exemplar is not None:
            exemplar = current_exemplar()
        if exemplar is not None:
            super().observe(amount, exemplar)
            if self._sketch is not None:
                self._sketch[sketches.bucket_of(amount)] += 1
            return
        self._noted.append(amount)
        if len(self._noted) >= MOST_NOTED:
            self._count()

    def _count(self) -> None:
        """Count what is noted, as prometheus_client does it for one duration."""
        with self._counting:
            noted = self._noted[:]
            if not noted:
                return
            del self._noted[: len(noted)]  # what was observed meanwhile is behind
            total, counts = 0.0, [0] * len(self._buckets)
            for amount in noted:
                total += amount
                counts[bisect_left(self._upper_bounds, amount)] += 1
            self._sum.inc(total)
            for bucket, number in zip(self._buckets, counts, strict=True):
                if number:
                    bucket.inc(number)
            if self._sketch is not None:
                self._sketch.update(map(sketches.bucket_of, noted))

    def _child_samples(self) -> Iterable[Sample]:
        self._count()
        return super()._child_samples()


class Waits(Durations):
    """Durations that are nearly always 0, and have no sketch."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sketch = None
        self.zeros = 0
        """How many durations of 0 there were; add to it instead of observing them."""
        self._zeros_counted = 0

    def _count(self) -> None:
        super()._count()
        with self._counting:
            new = self.zeros - self._zeros_counted
            self._zeros_counted += new
            self._buckets[0].inc(new)
