"""Numbers of dead letters, also while a reader holds some of them. No I/O.

Who reads a dead-letter queue takes the messages off it and returns them (`dead_letters.reading`).
The broker counts them as gone meanwhile, and for a moment after the reader has ended.
"""

from __future__ import annotations

from bridge.broker.topology import Depth


class DeadCounts:
    """The numbers of successive looks."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._fewer: set[str] = set()
        """Queues with fewer messages than before at the latest look."""
        self.being_read: set[str] = set()
        """Queues of which a reader may hold messages: their number is a lower bound."""

    def count(self, queue: str, depth: Depth, *, is_read: bool) -> int:
        """Return how many there are; `is_read`: a reader is known to be at work.

        Fewer than before are believed if two looks in a row find that without a reader.
        """
        known = self._known.get(queue)
        if is_read or depth.consumers:
            self._fewer.discard(queue)
            self.being_read.add(queue)
            if known is not None:
                self._known[queue] = max(known, depth.ready)
            return max(known or 0, depth.ready)
        self.being_read.discard(queue)
        if known is not None and depth.ready < known and queue not in self._fewer:
            self._fewer.add(queue)
            return known
        self._fewer.discard(queue)
        self._known[queue] = depth.ready
        return depth.ready
