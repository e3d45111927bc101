"""Who may work when there is more to do than may be done at a time. Plain asyncio, no AMQP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, nullcontext

PART = 4
"""Lanes that fail share one slot in so many."""
REMEMBERED = 10_000
"""Failing lanes that are remembered; past that the oldest ones count as healthy again."""


class Slots:
    """`concurrency` slots. Lanes whose last attempt failed may hold a quarter of them at most.

    An attempt at a recipient that stalls holds its slot until the timeout: without that bound the
    second and third attempts of a few such recipients would take all the slots.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.busy = 0
        """Slots that are held."""
        self._slots = asyncio.Semaphore(concurrency)
        self._part = asyncio.Semaphore(max(1, concurrency // PART))
        self._failing: dict[Hashable, None] = {}

    @asynccontextmanager
    async def hold(self, lane: Hashable) -> AsyncIterator[None]:
        """Hold one slot for the length of the block; wait until there is one."""
        async with self._part if lane in self._failing else nullcontext(), self._slots:
            self.busy += 1
            try:
                yield
            finally:
                self.busy -= 1

    def succeeded(self, lane: Hashable) -> None:
        self._failing.pop(lane, None)

    def failed(self, lane: Hashable) -> None:
        self._failing[lane] = None
        if len(self._failing) > REMEMBERED:
            del self._failing[next(iter(self._failing))]
