"""What is known now and was lately, as server-sent events for every page that is open.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from bridge.monitor.exporter import export
from bridge.monitor.history import History, point_of
from bridge.monitor.snapshot import Snapshot
from bridge.monitor.verdict import Limits, problems

LIMITS = Limits(age=60.0)
"""What the page calls wrong beside what always is."""
BEHIND = 30
"""Events that a page may be behind; then its stream ends, and it connects anew."""

Events = asyncio.Queue[bytes | None]
"""What goes to one page; None: the stream ends."""


class Feed:
    """Takes snapshots, and gives each page the history first and then what is new."""

    def __init__(self) -> None:
        self._history = History()
        self._snapshot: bytes | None = None
        self._lost = _event("lost", {"problem": "connecting"})
        """Why there is no news; empty while there is."""
        self._pages: set[Events] = set()

    def snapshot(self, snapshot: Snapshot) -> None:
        export(snapshot)
        point = point_of(snapshot)
        self._history.add(point)
        found = problems(snapshot, LIMITS)
        self._snapshot = _event(
            "snapshot", {"snapshot": snapshot, "problems": found, "point": point}
        )
        self._lost = b""
        self._send(self._snapshot)

    def lost(self, problem: str) -> None:
        self._lost = _event("lost", {"problem": problem})
        self._send(self._lost)

    @contextmanager
    def opened(self) -> Iterator[Events]:
        """Yield the events of one page."""
        events: Events = asyncio.Queue(BEHIND)
        events.put_nowait(_event("history", {"points": self._history.points}))
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
