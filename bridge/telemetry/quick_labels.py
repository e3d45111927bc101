"""Metrics that find the labels of earlier messages without further checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any


class QuickLabels:
    """A mix-in for metrics with labels: each message looks up several of them."""

    _metrics: Any
    """Values of labels → the metric with these labels."""

    def labels(self, *values: object, **named: object) -> Any:
        """Return the metric with these labels, as prometheus_client does."""
        known: Any = self._metrics.get(values)
        return super().labels(*values, **named) if known is None else known  # type: ignore[misc]

    @cached_property
    def of(self) -> Callable[..., Any]:
        """`labels`, whose results are remembered: a call costs nothing in Python."""
        return cache(self.labels)
