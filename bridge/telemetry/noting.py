"""Metrics that note what happens, and count it once they are read.

Each message changes several of them, and a report or a scrape reads them every few seconds. To
count many changes at once takes a fraction of the time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from threading import Lock
from typing import Any

from prometheus_client import Counter
from prometheus_client.samples import Sample

from bridge.telemetry.quick_labels import QuickLabels

MOST_NOTED = 500
"""Amounts that one metric notes before it counts them."""


class Noting(QuickLabels):
    """A mix-in for metrics that append to `_noted`, in any thread, and call `count` if it is full.

    Whatever reads the metric counts first, so every value is exact.
    """

    _noted: list[float]
    """Amounts that are not counted yet. Only `count` takes some out: no thread may lose one that
    another thread appends meanwhile."""

    def _metric_init(self) -> None:
        super()._metric_init()  # type: ignore[misc]
        self._noted = []
        self._counting = Lock()

    def count(self) -> None:
        """Count what is noted. Another thread that does so meanwhile has finished then."""
        with self._counting:
            number = len(self._noted)
            amounts = self._noted[:number]
            del self._noted[:number]
            self._add(amounts)

    @abstractmethod
    def _add(self, amounts: list[float]) -> None:
        """Count some amounts, in order. No other thread does so at the same time."""

    def _child_samples(self) -> Iterable[Sample]:
        self.count()
        samples: Any = super()._child_samples()  # type: ignore[misc]
        return samples  # type: ignore[no-any-return]


class NotingCounter(Noting, Counter):
    """A counter that notes how much it is incremented."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Count; without an exemplar, there is nothing else to check or to do."""
        if exemplar is not None or amount < 0:
            super().inc(amount, exemplar)
            return
        noted = self._noted
        noted.append(amount)
        if len(noted) >= MOST_NOTED:
            self.count()

    def _add(self, amounts: list[float]) -> None:
        if amounts:
            self._value.inc(sum(amounts))
