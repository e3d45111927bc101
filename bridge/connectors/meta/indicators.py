"""What users of Meta's services are shown while their turn waits: read, and typing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from sanic import Blueprint

from bridge.errors import DeliveryError
from bridge.http.client import HttpClient

log = logging.getLogger(__name__)

MOST = 100
"""Users at a time; more are shown nothing rather than too late."""


class Shown:
    """Calls that nobody waits for, and no failure of which matters."""

    def __init__(self) -> None:
        self._http: HttpClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, blueprint: Blueprint) -> Blueprint:
        """Open the client when the server starts, and close it when it stops."""

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
        """Make these calls in the background."""
        if self._http is None or len(self._tasks) >= MOST:
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
        log.info("channel %s: not shown as read: %s", channel, error)
