"""Lanes: the ordered run of each conversation inside a process. Plain asyncio, no AMQP.

One item at a time per key, in the order of `put`; different keys run at the same time. A lane
that has nothing left to run is dropped from memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Runs `run(item)` for every item that is put, one at a time per key.

    `run` must not raise: what to do with a failure is its own business. An exception that
    escapes all the same ends that lane's task loudly and leaves its items unsettled, so they come
    back when the channel is closed.
    """

    def __init__(self, run: Callable[[T], Awaitable[None]]) -> None:
        self._run = run
        self._waiting: dict[Hashable, deque[T]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = asyncio.Event()
        """Set once no new item may be started; `run` may wait for it in its pauses."""

    def __len__(self) -> int:
        """Number of open lanes."""
        return len(self._waiting)

    def put(self, key: Hashable, item: T) -> None:
        """Append an item to its lane, and start the lane if it is idle."""
        lane = self._waiting.get(key)
        if lane is not None:
            lane.append(item)
            return
        self._waiting[key] = lane = deque([item])
        task = asyncio.create_task(self._run_lane(key, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_lane(self, key: Hashable, lane: deque[T]) -> None:
        while lane and not self.draining.is_set():
            await self._run(lane.popleft())
        if not lane:
            del self._waiting[key]

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds for what runs; return whether all ended."""
        self.draining.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        return not self._tasks

    async def cancel(self) -> None:
        """Cancel whatever runs and wait until it has ended: nothing of it may act any more."""
        self.draining.set()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._waiting.clear()
