"""Current and recent snapshots as server-sent events, for every open page.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from bridge.monitor.events import Events as Journal
from bridge.monitor.exporter import export
from bridge.monitor.history import History, point_of
from bridge.monitor.problem import Limits
from bridge.monitor.problems import notices, problems
from bridge.monitor.snapshot import Snapshot

LIMITS = Limits(age=60.0)
"""Values above which the page shows a problem."""
MAX_BACKLOG = 30
"""Unsent events per page. A page that falls further behind is disconnected, and reconnects."""

Events = asyncio.Queue[bytes | None]
"""Events to send to one page; None ends the stream."""


class Feed:
    """Receives snapshots; sends each page the history first, then every new snapshot."""

    def __init__(self) -> None:
        self._history = History()
        self.events = Journal()
        self._sent = 0
        """Version of the events that the pages have."""
        self._snapshot: bytes | None = None
        self._lost = _event("lost", {"problem": "connecting"})
        """The latest `lost` event; empty while snapshots arrive."""
        self._pages: set[Events] = set()

    def snapshot(self, snapshot: Snapshot) -> None:
        export(snapshot)
        point = point_of(snapshot)
        self._history.add(point)
        self.events.seen(snapshot)
        is_new, self._sent = self.events.version != self._sent, self.events.version
        self._snapshot = _event(
            "snapshot",
            {
                "snapshot": snapshot,
                "problems": problems(snapshot, LIMITS),
                "notices": notices(snapshot, len(self.events.recent_deaths()), LIMITS),
                "point": point,
                "events": self.events.all if is_new else None,
            },
        )
        self._lost = b""
        self._send(self._snapshot)

    def resized(self, problem: str) -> None:
        self.events.resized(problem)

    def lost(self, problem: str) -> None:
        self.events.lost(problem)
        self._lost = _event("lost", {"problem": problem, "events": self.events.all})
        self._send(self._lost)

    @contextmanager
    def opened(self) -> Iterator[Events]:
        """Yield the queue of events for one new page."""
        events: Events = asyncio.Queue(MAX_BACKLOG)
        history = {"points": self._history.points, "events": self.events.all}
        events.put_nowait(_event("history", history))
        for latest in (self._snapshot, self._lost):
            if latest:
                events.put_nowait(latest)
        self._pages.add(events)
        try:
            yield events
        finally:
            self._pages.discard(events)

    def close(self) -> None:
        """End every stream."""
        for events in self._pages:
            _end(events)

    def _send(self, event: bytes) -> None:
        for events in self._pages:
            if events.full():
                _end(events)
            else:
                events.put_nowait(event)


def _end(events: Events) -> None:
    while not events.empty():
        events.get_nowait()
    events.put_nowait(None)


def _event(name: str, data: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
