"""Passes over the dead-letter queues for the page.

Reading a dead-letter queue consumes its messages and returns them. So the page reads only on
request, and one pass runs at a time: messages held by one reader are invisible to another. A pass
goes on when its client has left or has its answer, since one that is cut off would leave the
messages in another order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bridge.dead_letters import queue as dead_letter_queue
from bridge.dead_letters.causes import by_cause
from bridge.dead_letters.facts import as_plain, facts
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Purge, nothing
from bridge.dead_letters.replay import Replay
from bridge.errors import RequestRejected
from bridge.messages import DeadLetter
from bridge.settings.files import BrokerSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
Known = Callable[[dict[str, Any]], None]
"""Called with the answer to a request, which may be known before the pass ends."""


class Passes:
    """Runs one pass at a time, to its end."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._counting: tuple[Filter, asyncio.Task[int]] | None = None
        self._ends = False

    @property
    def are_running(self) -> bool:
        """Whether a pass is running: it holds dead letters."""
        return bool(self._tasks)

    async def end(self, within: float) -> None:
        """Wait at most `within` seconds for the running pass; those that wait for it are dropped.

        It leaves the queue in order, and what it has published is acked.
        """
        self._ends = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a pass."""
        return await asyncio.shield(self._start(work))

    async def answered(
        self, work: Callable[[Known], Coroutine[Any, Any, int]], counts: Filter | None = None
    ) -> dict[str, Any]:
        """Return the answer of a pass once it is known; `counts` is what its result counts."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def known(value: dict[str, Any]) -> None:
            if not answer.done():
                answer.set_result(value)

        task = self._start(work(known))
        if counts is not None:
            self._counting = counts, task
        either: set[asyncio.Future[Any]] = {answer, task}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            task.result()  # raises: a pass that succeeds has an answer
        return await answer

    def counting(self, wanted: Filter) -> asyncio.Task[int] | None:
        """Return the running pass that counts what matches, if there is one."""
        if self._counting is None or self._counting[0] != wanted or self._counting[1].done():
            return None
        return self._counting[1]

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(self._alone(work))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def _alone(self, work: Coroutine[Any, Any, T]) -> T:
        async with self._one_at_a_time:
            if self._ends:
                work.close()
                raise RequestRejected(503, "the monitor is stopping")
            return await work

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("dead letters: %s", type(task.exception()).__name__)


class Progress:
    """How far the latest pass has come."""

    def __init__(self) -> None:
        self.what = ""
        """`reading`, `replaying` or `deleting`."""
        self.done = 0
        self.total = 0

    def begin(self, what: str, total: int) -> Callable[[], None]:
        """Return the function that counts one dead letter of this step."""
        self.what, self.done, self.total = what, 0, total
        return self._tick

    def _tick(self) -> None:
        self.done += 1


class DeadLetters:
    """What the page does with dead letters; each method is one pass."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._url = broker.url
        self._topology = broker.topology()
        self.progress = Progress()
        self._stop: Callable[[], None] = nothing

    def stop(self) -> None:
        """End the running replay or purge in order, if there is one."""
        self._stop()

    async def listed(self, wanted: Filter, limit: int, known: Known) -> int:
        """Return how many match. The answer is the first of them, and how many if known."""

        def show(letters: list[DeadLetter], total: int | None) -> None:
            known({"letters": [as_plain(letter) for letter in letters], "total": total})

        return await dead_letter_queue.first(self._url, self._topology, wanted, limit, show)

    async def count(self, wanted: Filter) -> int:
        """Return how many match."""
        among = await dead_letter_queue.depths(self._url, self._topology, wanted)
        return await dead_letter_queue.count(self._url, self._topology, wanted, among)

    async def causes(self, wanted: Filter) -> dict[str, Any]:
        """Return the groups of those that match."""
        among = await dead_letter_queue.depths(self._url, self._topology, wanted)
        tick = self.progress.begin("reading", sum(among.values()))
        groups = await by_cause(self._url, self._topology, wanted, among, tick)
        return {"groups": [vars(g) for g in groups.largest_first()], "others": groups.others}

    async def shown(self, wanted: Filter, text: bool, known: Known) -> int:
        """Return how many match. The answer is their details."""
        among = await dead_letter_queue.depths(self._url, self._topology, wanted)
        found = []
        async for letter, delivery in dead_letter_queue.scan(
            self._url, self._topology, wanted, among
        ):
            found.append(facts(letter, delivery, time.time(), text=text))
            if wanted.id:
                known({"letters": found[:1]})
        known({"letters": found})
        return len(found)

    async def replay(self, wanted: Filter) -> dict[str, Any]:
        """Replay those that match; return what was done."""
        among = await dead_letter_queue.depths(self._url, self._topology, wanted)
        work = Replay(self._url, self._topology, wanted)
        read = self.progress.begin("reading", sum(among.values()))

        def replayed() -> None:
            if self.progress.what != "replaying":
                self.progress.begin("replaying", work.found)
            read()

        self._stop = work.stop
        try:
            await work.run(among, read, replayed)
        finally:
            kept = work.kept.total()
            log.info("replayed %d dead letters, kept %d", work.replayed, kept)
        return {
            "replayed": work.replayed,
            "kept": dict(work.kept),
            "unanswered": work.unanswered,
            "unseen": work.unseen,
            "left": work.left if work.is_read else sum(among.values()) - work.replayed,
        }

    async def purge(self, wanted: Filter, most: int) -> dict[str, Any]:
        """Delete those that match, at most so many; return what was done."""
        among = await dead_letter_queue.depths(self._url, self._topology, wanted)
        work = Purge(self._url, self._topology, wanted)
        self._stop = work.stop
        try:
            await work.run(among, most, self.progress.begin("deleting", sum(among.values())))
        finally:
            log.info("deleted %d dead letters", work.deleted)
        return {"deleted": work.deleted, "unseen": work.unseen, "stopped": not work.is_complete}
