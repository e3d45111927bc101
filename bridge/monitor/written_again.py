"""Which small batches of hops were written again, and which were not: their process was killed.

A search lets RabbitMQ pass over small batches, because others hold the same. It reads them only
where that is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bridge.broker.stream_reading import About, Place
from bridge.telemetry.trace.batch import FIRST, WHOLE, first_of
from bridge.telemetry.trace.recorder import LATEST

SLACK = 10.0
"""Seconds by which the clocks of two machines may differ, and a batch may be late."""


class Span(NamedTuple):
    """A part of the stream."""

    start: float
    """Unix time in seconds at which it begins,"""
    before: Place
    """and where it ends."""


class WrittenAgain:
    """Learns from the batches that are read; `look` at each of them."""

    def __init__(self) -> None:
        self._first: dict[bytes, float] = {}
        """The first of several small batches → the Unix time at which it was written,"""
        self._again: dict[bytes, float] = {}
        """and at which the small batches were written again."""
        self._places: list[tuple[int, float, str | None]] = []
        """Offset, time and mark of some batches."""
        self._lowest: int | None = None
        self.since = 0.0
        """When the earliest batch was written (Unix time); 0 if there is none."""

    def look(self, body: bytes, offset: int, about: Callable[[], About]) -> None:
        """Look at a batch, in whichever order parts of the stream are read."""
        if self._lowest is None or offset < self._lowest:
            self._lowest, self.since = offset, about().written_at
        first = first_of(body)
        if first is None:
            return
        at, mark = about()
        self._places.append((offset, at, mark))
        if mark == WHOLE:
            self._again[first] = at
        elif mark == FIRST:
            self._first[first] = at

    def lacking(self, begin: float, recent: Place) -> Iterator[Span]:
        """Yield the parts of the stream whose small batches must be read, the latest part first.

        They end after `begin` (Unix time), and begin before `recent`: from there on, everything
        was read. Small batches that are written again without their first may be of an earlier
        version, whose processes do not mark it: then those before them must be read.
        """
        killed = [at for first, at in self._first.items() if first not in self._again]
        unmarked = [at for first, at in self._again.items() if first not in self._first]
        windows = [(at, at + LATEST) for at in killed] + [(at - LATEST, at) for at in unmarked]
        spans: list[tuple[float, float]] = []
        for start, end in sorted((start - SLACK, end + SLACK) for start, end in windows):
            if end < begin:
                continue
            if spans and start <= spans[-1][1]:
                start, end = spans[-1][0], max(spans.pop()[1], end)
            spans.append((start, end))
        places = sorted(self._places)
        for start, end in reversed(spans):
            later = [Place(offset, mark) for offset, at, mark in places if at > end]
            before = later[0] if later and later[0].offset < recent.offset else recent
            if start < self._time_of(recent):
                yield Span(start, before)

    def _time_of(self, recent: Place) -> float:
        """Return about when the batch at a place was written."""
        times = [at for offset, at, _ in self._places if offset >= recent.offset]
        return min(times, default=float("inf"))
