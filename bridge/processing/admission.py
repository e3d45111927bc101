"""Limits concurrent attempts, and holds them back while a service is down. No AMQP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

FAILING_SHARE = 4
"""Failing lanes may hold one slot in this many."""
REMEMBERED = 10_000
"""Failing lanes remembered; beyond this number the oldest count as healthy again."""


class Slots:
    """`concurrency` slots. Lanes whose last attempt failed may hold at most a quarter of them.

    An attempt at a stalled recipient holds its slot until the timeout. Without this limit, the
    second and third attempts of a few such recipients would take all the slots.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.busy = 0
        """Slots in use."""
        self._slots = asyncio.Semaphore(concurrency)
        self._failing_slots = asyncio.Semaphore(max(1, concurrency // FAILING_SHARE))
        self._failing: dict[Hashable, None] = {}
        self._all = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, lane: Hashable) -> AsyncIterator[None]:
        """Wait for a free slot and hold it for the length of the block."""
        async with self._failing_slots if lane in self._failing else nullcontext(), self._slots:
            self.busy += 1
            try:
                yield
            finally:
                self.busy -= 1

    @asynccontextmanager
    async def hold_all(self) -> AsyncIterator[None]:
        """Wait until nothing else runs, and let nothing start for the length of the block."""
        held = 0
        async with self._all:
            try:
                while held < self.concurrency:
                    await self._slots.acquire()
                    held += 1
                self.busy += 1
                try:
                    yield
                finally:
                    self.busy -= 1
            finally:
                for _ in range(held):
                    self._slots.release()

    def succeeded(self, lane: Hashable) -> None:
        self._failing.pop(lane, None)

    def failed(self, lane: Hashable) -> None:
        self._failing[lane] = None
        if len(self._failing) > REMEMBERED:
            del self._failing[next(iter(self._failing))]


class Gate(Protocol):
    """Holds back all attempts while a service is down; `delivery.circuit_breaker` is one."""

    @property
    def is_open(self) -> bool:
        """Whether attempts may start now."""

    async def passage(self, lane: Hashable) -> None:
        """Return when a lane may make an attempt."""


class OpenGate:
    """Never holds anything back."""

    is_open = True

    async def passage(self, lane: Hashable) -> None:
        return None
