"""Publishes items in batches: what arrives during one publish goes out together in the next."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Optional

from bridge.errors import BrokerError, BrokerUnavailable, MessageTooLarge
from bridge.runtime.retry import backoff

log = logging.getLogger(__name__)

MOST = 200
"""Items of a batch."""
MOST_BYTES = 256 * 1024
"""Bytes after which a batch is full."""
KEPT = 10_000
"""Items that may wait for the broker; with more, `put` fails at once."""
LONGEST_PAUSE = 1.0
"""Seconds between two tries."""

Confirmed = Optional["asyncio.Future[None]"]


class TooMany(BrokerUnavailable):
    """Too many items wait for the broker; these are not kept."""


class Batches:
    """A confirm for a batch costs as much as one for an item, so a loaded process has few."""

    def __init__(
        self, publish: Callable[[Sequence[bytes]], Awaitable[None]], linger: float = 0.0
    ) -> None:
        """`publish` returns once the broker has confirmed, or raises BrokerError.

        `linger` is the time in seconds for which a batch waits to become larger.
        """
        self._linger = linger
        self._publish = publish
        self._waiting: deque[tuple[bytes, Confirmed]] = deque()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of items that wait for a confirm."""
        return len(self._waiting)

    async def put(self, items: Sequence[bytes]) -> None:
        """Return once the items are confirmed.

        Raises:
            BrokerError: a publish failed. Its items stay, and are published as soon as possible.
            MessageTooLarge: the broker will never accept one of them; it is dropped.
            TooMany: none of the items is kept.
        """
        if not items:
            return
        if len(self._waiting) + len(items) > KEPT:
            raise TooMany(f"{KEPT} items wait for the broker already")
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.extend((item, None) for item in items[:-1])
        self._waiting.append((items[-1], confirmed))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        await confirmed

    async def _run(self) -> None:
        failures = 0
        while self._waiting:
            if self._linger and len(self._waiting) < MOST:
                await asyncio.sleep(self._linger)
            number = self._size()
            batch = [self._waiting[n] for n in range(number)]
            try:
                await self._publish([item for item, _ in batch])
            except Exception as error:
                failures += 1
                if number == 1 and isinstance(error, MessageTooLarge):
                    self._waiting.popleft()
                    _end(batch, error)
                else:
                    self._fail(error)
                    await asyncio.sleep(min(backoff(failures), LONGEST_PAUSE))
            else:
                failures = 0
                for _ in batch:
                    self._waiting.popleft()
                _end(batch)

    def _fail(self, error: Exception) -> None:
        """Tell everyone who waits. The items stay, to be published again later."""
        if not isinstance(error, BrokerError):
            log.exception("a batch could not be published")
            error = BrokerUnavailable(str(error))
        waiting = list(self._waiting)
        self._waiting.clear()
        self._waiting.extend((item, None) for item, _ in waiting)
        _end(waiting, error)

    def _size(self) -> int:
        """Return how many of the waiting items the next batch has, at least one."""
        total = 0
        for number, (item, _) in enumerate(self._waiting):
            total += len(item)
            if number and (number >= MOST or total > MOST_BYTES):
                return number
        return len(self._waiting)


def _end(batch: Sequence[tuple[bytes, Confirmed]], error: Exception | None = None) -> None:
    for _, confirmed in batch:
        if confirmed is not None and not confirmed.done():
            if error is None:
                confirmed.set_result(None)
            else:
                confirmed.set_exception(error)
