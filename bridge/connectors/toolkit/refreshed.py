"""What a webhook fetches before it knows who asks, such as signing keys.

Anyone can cause such a fetch, so it is made once at a time, a failure is remembered, and few
requests wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bridge.errors import RequestRejected

FAILURE_LASTS = 5.0
"""Seconds for which a failed fetch is not repeated; it is also the Retry-After of a 503."""
MOST_WAITING = 100
"""Requests that may wait for one fetch."""


class Refreshed:
    """Makes one kind of fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[None]], now: Callable[[], float]) -> None:
        """`fetch` stores what it fetches, or raises RequestRejected (503); `now` is a clock."""
        self._fetch = fetch
        self._now = now
        self._fetching: asyncio.Task[None] | None = None
        self._waiting = 0
        self._failure: RequestRejected | None = None
        self._failed_at = float("-inf")

    async def refresh(
        self, is_needed: Callable[[], bool], is_usable: Callable[[], bool] = lambda: False
    ) -> None:
        """Fetch, or wait for the fetch that is running, if one is needed.

        `is_usable` tells whether the request can do with what was fetched before. Then it waits for
        no other request's fetch, and a failure is no error.

        Raises:
            RequestRejected: 503, the fetch failed, now or a moment ago, or too many wait for it.
        """
        if not is_needed() or (self._fetching and is_usable()):
            return
        if self._waiting >= MOST_WAITING:
            raise RequestRejected(503, "too many requests at once", fix="send it again later")
        self._waiting += 1
        try:
            await self._fetched()
        except RequestRejected:
            if not is_usable():
                raise
        finally:
            self._waiting -= 1

    async def _fetched(self) -> None:
        if self._failure is not None and 0 <= self._now() - self._failed_at < FAILURE_LASTS:
            raise self._failure
        if self._fetching is None:
            # A task: it goes on when the client that caused it is gone, or each would cause one.
            self._fetching = asyncio.get_running_loop().create_task(self._remembered())
            self._fetching.add_done_callback(lambda task: task.cancelled() or task.exception())
        fetching = self._fetching
        await asyncio.wait({fetching})
        fetching.result()

    async def _remembered(self) -> None:
        try:
            await self._fetch()
            self._failure = None
        except RequestRejected as error:
            self._failure, self._failed_at = error, self._now()
            raise
        finally:
            self._fetching = None
