"""Histograms that also keep a sketch, for percentiles with a known error."""

from __future__ import annotations

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
    a fraction of the time.
    """

    _noted: list[float]
    """Durations that are not counted yet."""
    _sketch: Sketch | None = None

    def _metric_init(self) -> None:
        super()._metric_init()
        self._noted = []
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
        noted, self._noted = self._noted, []
        if not noted:
            return
        total, counts = self._sum.get(), [0] * len(self._buckets)
        for amount in noted:
            total += amount
            counts[bisect_left(self._upper_bounds, amount)] += 1
        self._sum.set(total)
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
        """Durations of 0 that are not counted yet; add to it instead of observing them."""

    def _count(self) -> None:
        super()._count()
        zeros, self.zeros = self.zeros, 0
        self._buckets[0].inc(zeros)
