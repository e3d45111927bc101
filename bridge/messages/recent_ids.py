"""Remembers which messages were completed lately, so that a repeated one has no second effect."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class RecentIds:
    """Remembers the last `size` ids that were added, each within its conversation.

    Ids of two providers, or of two careless clients, may be alike.
    """

    def __init__(self, size: int = 50_000) -> None:
        self._size = size
        self._ids: OrderedDict[tuple[Hashable, str], None] = OrderedDict()

    def __contains__(self, key: tuple[Hashable, str]) -> bool:
        return key in self._ids

    def add(self, key: tuple[Hashable, str]) -> None:
        self._ids[key] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
