"""Lanes: the messages of each conversation run in order inside a process. No AMQP.

Each key runs one item at a time, in the order of `put`; different keys run concurrently. An empty
lane is dropped from memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from bridge.runtime import health
from bridge.runtime.deadline import CLEAN_UP, PROMPT

T = TypeVar("T")


class Lanes(Generic[T]):
    """Runs `run(item)` for each item, one at a time per key.

    `run` must handle its failures. If an exception escapes nevertheless, the lane's task ends with
    it and its items stay unsettled, so they are redelivered when the channel closes.
    """

    def __init__(self, run: Callable[[T], Awaitable[None]]) -> None:
        self._run = run
        self._waiting: dict[Hashable, deque[tuple[int, T]]] = {}
        """Lane → its waiting items, each with its rank."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = asyncio.Event()
        """Set once no further item may start; `run` may wait for it during its pauses."""

    def __len__(self) -> int:
        """Return the number of open lanes."""
        return len(self._waiting)

    def put(self, key: Hashable, item: T, rank: int = 0) -> None:
        """Append an item to its lane; start the lane if it is idle.

        It goes before items that wait with a larger `rank`.
        """
        lane = self._waiting.get(key)
        if lane is not None:
            place = len(lane)
            while place and lane[place - 1][0] > rank:
                place -= 1
            lane.insert(place, (rank, item))
            return
        self._waiting[key] = lane = deque([(rank, item)])
        task = asyncio.create_task(self._run_lane(key, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_lane(self, key: Hashable, lane: deque[tuple[int, T]]) -> None:
        while lane and not self.draining.is_set():
            await self._run(lane.popleft()[1])
        if not lane:
            del self._waiting[key]

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds; return whether all lanes ended."""
        self.draining.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        return not self._tasks

    async def cancel(self, clean_up: float = CLEAN_UP) -> None:
        """Cancel everything and wait until it has ended: afterwards, none of it can act.

        That holds however often the caller itself is cancelled meanwhile. Work that has not ended
        after `clean_up` seconds ends the process.
        """
        self.draining.set()
        ending = asyncio.ensure_future(self._end(clean_up))
        cancelled = False
        while not ending.done():
            try:
                await asyncio.wait({ending})
            except asyncio.CancelledError:
                cancelled = True
        ending.result()
        self._waiting.clear()
        if cancelled:
            raise asyncio.CancelledError

    async def _end(self, clean_up: float) -> None:
        """Cancel everything, and once more at half time: code may swallow one cancellation."""
        for patience in (clean_up / 2, clean_up / 2):
            if not self._tasks:
                return
            for task in list(self._tasks):
                task.cancel()
            await self._wait_for_end(patience)
        if self._tasks:
            health.process.give_up(f"cancelled work did not end within {clean_up:g} s")
            await asyncio.wait(self._tasks)

    async def _wait_for_end(self, patience: float) -> None:
        """Wait up to `patience` seconds; after a moment the process is not ready any more."""
        prompt = min(PROMPT, patience)
        await asyncio.wait(self._tasks, timeout=prompt)
        if not self._tasks:
            return
        health.process.overdue(self, "cancelled work does not end")
        await asyncio.wait(self._tasks, timeout=patience - prompt)
        if not self._tasks:
            health.process.ended(self)
