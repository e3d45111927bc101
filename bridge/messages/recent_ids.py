"""Remembers which messages were completed recently, so that a repeated one has no effect."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class RecentIds:
    """Remembers the last `size` ids, each within its conversation.

    The conversation belongs to the key because two providers, or two clients, may use equal ids.
    For replies, the id is their identity: a copy has the same content, too.
    """

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._ids: OrderedDict[tuple[Hashable, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, key: tuple[Hashable, str]) -> bool:
        return key in self._ids

    def add(self, key: tuple[Hashable, str]) -> None:
        """Remember `(conversation, id)`; beyond `size`, forget the oldest."""
        self._ids[key] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
