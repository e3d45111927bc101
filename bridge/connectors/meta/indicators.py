"""Read receipts and typing indicators, shown while a turn waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

if TYPE_CHECKING:
    from sanic import Blueprint

log = logging.getLogger(__name__)

MAX_CONCURRENT = 100
"""Concurrent calls; beyond that, an indicator is skipped, since a late one is useless."""


class Indicators:
    """Makes calls in the background; their failures are only logged."""

    def __init__(self) -> None:
        self._http: HttpClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, blueprint: Blueprint) -> Blueprint:
        """Open the HTTP client when the server starts, and close it when the server stops."""

        async def start(*_: Any) -> None:
            self._http = await HttpClient().__aenter__()

        async def stop(*_: Any) -> None:
            for task in self._tasks:
                task.cancel()
            if self._http:
                await self._http.__aexit__(None, None, None)
                self._http = None

        blueprint.listener("after_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        return blueprint

    def show(self, channel: str, calls: Callable[[HttpClient], Awaitable[None]]) -> None:
        """Make `calls` in the background, unless too many are running."""
        if self._http is None or len(self._tasks) >= MAX_CONCURRENT:
            return
        task = asyncio.get_running_loop().create_task(_make(channel, calls, self._http))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _make(
    channel: str, calls: Callable[[HttpClient], Awaitable[None]], http: HttpClient
) -> None:
    try:
        await calls(http)
    except DeliveryError as error:
        log.info("channel %s: no read receipt or typing indicator: %s", channel, error)
