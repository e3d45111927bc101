"""Histograms that also keep a sketch, for percentiles with a known error."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable

from prometheus_client import Histogram

from bridge.telemetry import sketches
from bridge.telemetry.noting import MOST_NOTED, Noting

Sketch = Counts[int]
"""Bucket (`sketches.bucket_of`) → number of durations in it."""

current_exemplar: Callable[[], dict[str, str] | None] | None = None
"""Returns the ids of the current trace; set by `trace.start_spans`."""


class Durations(Noting, Histogram):
    """A histogram that also keeps a sketch, for percentiles with a known error (`sketches`)."""

    _sketch: Sketch | None = None

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sketch = Counts()

    @property
    def sketch(self) -> Sketch | None:
        """The sketch of a metric that keeps one."""
        if self._sketch is not None:
            self.count()
        return self._sketch

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is None and current_exemplar is not None:
            exemplar = current_exemplar()
        if exemplar is not None:
            with self._counting:
                super().observe(amount, exemplar)
                if self._sketch is not None:
                    self._sketch[sketches.bucket_of(amount)] += 1
            return
        noted = self._noted
        noted.append(amount)
        if len(noted) >= MOST_NOTED:
            self.count()

    def _add(self, amounts: list[float]) -> None:
        """Count as prometheus_client does it for one duration."""
        if not amounts:
            return
        total, counts = self._sum.get(), [0] * len(self._buckets)
        for amount in amounts:
            total += amount
            counts[bisect_left(self._upper_bounds, amount)] += 1
        self._sum.set(total)
        for bucket, number in zip(self._buckets, counts, strict=True):
            if number:
                bucket.inc(number)
        if self._sketch is not None:
            self._sketch.update(sketches.buckets_of(amounts))


class Waits(Durations):
    """Durations that are nearly always 0, and have no sketch."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sketch = None
        self.zeros = 0
        """How many durations of 0 there were; add to it instead of observing them."""
        self._zeros_counted = 0

    def _add(self, amounts: list[float]) -> None:
        super()._add(amounts)
        new = self.zeros - self._zeros_counted
        self._zeros_counted += new
        self._buckets[0].inc(new)
