"""Remembers which messages were completed recently, so that a repeated one has no effect."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class RecentIds(OrderedDict[tuple[Hashable, str], None]):
    """Remembers the last `size` ids, each within its conversation.

    The conversation belongs to the key because two providers, or two clients, may use equal ids.
    For replies, the id is their identity: a copy has the same content, too.
    """

    def __init__(self, size: int = 50_000) -> None:
        super().__init__()
        self._size = size

    def add(self, key: tuple[Hashable, str]) -> None:
        """Remember `(conversation, id)`; beyond `size`, forget the oldest."""
        self[key] = None
        if len(self) > self._size:
            self.popitem(last=False)
