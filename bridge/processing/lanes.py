"""Lanes: the messages of each conversation run in order inside a process. No AMQP.

Each key runs one item at a time, in the order of `put`; different keys run concurrently. An empty
lane is dropped from memory.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from bridge.runtime import health
from bridge.runtime.deadline import CLEAN_UP, PROMPT

T = TypeVar("T")


class Lane(Generic[T]):
    """The items of one key that wait, and how long the one before them has been running."""

    __slots__ = ("_waiting", "gave_up_at", "head", "key", "leaves", "pauses", "rank", "since")

    def __init__(self, key: Hashable, rank: int, item: T) -> None:
        """`item` waits, as the first one."""
        self.key = key
        self._waiting: dict[int, deque[T]] = {rank: deque((item,))}
        """The items that wait, by rank; the smallest rank runs first."""
        self.head: T | None = None
        """The item that runs,"""
        self.rank = rank
        """and its rank."""
        self.since: float | None = None
        """When the running item began (monotonic clock); None while it waits for its turn."""
        self.pauses = 0
        """Above 0 while the lane lets time pass: after a failure, or to keep to a rate."""
        self.gave_up_at = -math.inf
        """When the latest item became a dead letter (monotonic clock)."""
        self.leaves: Callable[[Lane[T]], bool] | None = None
        """Called before the next item runs; returns whether it removed all that wait."""

    def __bool__(self) -> bool:
        """Whether an item waits."""
        return self.has_more()

    def has_more(self) -> bool:
        """Whether an item waits: the same, in less time."""
        for items in self._waiting.values():  # noqa: SIM110 - `any` takes three times as long
            if items:
                return True
        return False

    def __len__(self) -> int:
        """Return how many items wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def items(self) -> deque[T]:
        """The items that wait and have the rank of the running one."""
        return self.of(self.rank)

    def of(self, rank: int) -> deque[T]:
        """Return the items of a rank that wait."""
        items = self._waiting.get(rank)
        if items is None:
            items = self._waiting[rank] = deque()
        return items

    @property
    def first(self) -> T:
        """The first waiting item of the smallest rank."""
        return self._waiting[self._first_rank()][0]

    def _first_rank(self) -> int:
        if len(self._waiting) == 1 and self.rank in self._waiting:
            return self.rank
        return min(rank for rank, items in self._waiting.items() if items)

    def next(self) -> T:
        """Make the first waiting item the running one, and return it."""
        self.rank = rank = self._first_rank()
        self.since = None
        self.head = item = self._waiting[rank].popleft()
        return item

    @property
    def urgent(self) -> deque[T]:
        """The items that wait and have the smallest rank, if that is below the head's."""
        ranks = [rank for rank, items in self._waiting.items() if items and rank < self.rank]
        return self._waiting[min(ranks)] if ranks else deque()

    def waiting(self) -> list[T]:
        """Return the items that wait, those of the smallest rank first."""
        return [item for _, items in sorted(self._waiting.items()) for item in items]

    def clear(self) -> None:
        """Remove the items that wait."""
        self._waiting.clear()

    def others(self) -> Iterator[T]:
        """Remove each waiting item that has another rank than the head, and yield it."""
        for rank, items in self._waiting.items():
            while items and rank != self.rank:
                yield items.popleft()


def _not_yet(item: object) -> bool:
    return False


_current: ContextVar[Lane[Any] | None] = ContextVar("lane", default=None)


def began() -> None:
    """Note that the item of the current lane got its turn: its time is the lane's from now on."""
    lane = _current.get()
    if lane is not None and lane.since is None:
        lane.since = time.monotonic()


def ended() -> None:
    """Note that the item of the current lane is done: the lane does not stall any more."""
    lane = _current.get()
    if lane is not None:
        lane.since = lane.head = None


def gave_up() -> None:
    """Note that the item of the current lane became a dead letter: those behind it may, too."""
    lane = _current.get()
    if lane is not None:
        lane.gave_up_at = time.monotonic()


@contextmanager
def pausing() -> Iterator[None]:
    """Note that the current lane lets time pass inside the block: only its own items may wait."""
    began()
    lane = _current.get()
    if lane is None:
        yield
        return
    lane.pauses += 1
    try:
        yield
    finally:
        lane.pauses -= 1


class Lanes(Generic[T]):
    """Runs `run(item)` for each item, one at a time per key.

    `run` must handle its failures. If an exception escapes nevertheless, the lane's task ends with
    it and its items stay unsettled, so they are redelivered when the channel closes.
    """

    def __init__(self, run: Callable[[T], Awaitable[None]]) -> None:
        self._run = run
        self.has_ended: Callable[[T], bool] = _not_yet
        """Whether an item ran together with an earlier one: `run` gets it while draining, too."""
        self._lanes: dict[Hashable, Lane[T]] = {}
        self._runners: dict[Hashable, asyncio.Task[None]] = {}
        """Key → the task that runs its lane. Those of lanes that have ended leave by themselves."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Other work that ends with the lanes."""
        self.draining = asyncio.Event()
        """Set once no further item may start; `run` may wait for it during its pauses."""

    def __len__(self) -> int:
        """Return the number of open lanes."""
        return len(self._lanes)

    def open(self) -> Collection[Lane[T]]:
        """Return the open lanes."""
        return self._lanes.values()

    def get(self, key: Hashable) -> Lane[T] | None:
        """Return a lane, if it is open."""
        return self._lanes.get(key)

    def put(self, key: Hashable, item: T, rank: int = 0) -> None:
        """Append an item to its lane; start the lane if it is idle.

        It runs before items that wait with a larger `rank`.
        """
        lane = self._lanes.get(key)
        if lane is not None:
            lane.of(rank).append(item)
            return
        self._lanes[key] = lane = Lane(key, rank, item)
        self._runners[key] = asyncio.get_running_loop().create_task(self._run_lane(lane))

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start work that ends with the lanes: `drain` and `cancel` wait for it, too."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_lane(self, lane: Lane[T]) -> None:
        _current.set(lane)
        try:
            while lane.has_more():
                if self.draining.is_set() and self._is_over(lane):
                    return
                if lane.leaves is None or not lane.leaves(lane):
                    await self._run(lane.next())
            del self._lanes[lane.key]
        finally:
            self._runners.pop(lane.key, None)

    def _is_over(self, lane: Lane[T]) -> bool:
        """Whether a lane with waiting items runs none of them any more, while draining."""
        # The one before must be settled, too: else it returns, and would run behind this one.
        return lane.head is not None or not self.has_ended(lane.first)

    def _running(self) -> list[asyncio.Task[None]]:
        """Return the unfinished tasks of the lanes, and of other work."""
        return [task for task in (*self._runners.values(), *self._tasks) if not task.done()]

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds; return whether all lanes ended."""
        self.draining.set()
        now = asyncio.get_running_loop().time
        deadline = now() + grace
        while running := self._running():
            if (left := deadline - now()) <= 0:
                return False
            await asyncio.wait(running, timeout=left)  # one of them may start another
        return True

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
        self._lanes.clear()
        self._runners.clear()
        if cancelled:
            raise asyncio.CancelledError

    async def _end(self, clean_up: float) -> None:
        """Cancel everything, and once more at half time: code may swallow one cancellation."""
        for patience in (clean_up / 2, clean_up / 2):
            if not (running := self._running()):
                return
            for task in running:
                task.cancel()
            await self._wait_for_end(patience)
        if running := self._running():
            health.process.give_up(f"cancelled work did not end within {clean_up:g} s")
            await asyncio.wait(running)

    async def _wait_for_end(self, patience: float) -> None:
        """Wait up to `patience` seconds; after a moment the process is not ready any more."""
        prompt = min(PROMPT, patience)
        await asyncio.wait(self._running(), timeout=prompt)
        if not (running := self._running()):
            return
        health.process.overdue(self, "cancelled work does not end")
        await asyncio.wait(running, timeout=patience - prompt)
        if not self._running():
            health.process.ended(self)
