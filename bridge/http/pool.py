"""Connections that wait for their next call.

aiohttp opens and closes them. Its own pool makes an object and runs two coroutines for each call.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from bridge.http.plain import Handler

KEPT = 15.0
"""Seconds for which a connection may wait, as in aiohttp."""


class Pool:
    """Connections by origin; all of them are closed with the session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        connector: Any = session.connector
        self._connector = connector
        self._timeout = session.timeout
        self._time = asyncio.get_running_loop().time
        self._waiting: dict[str, list[tuple[Any, Handler, float]]] = {}
        """Origin → connections, and since when they wait; the latest is the last one."""
        self._sweep: asyncio.TimerHandle | None = None
        self.is_usable = hasattr(self._connector, "_factory") and hasattr(
            ResponseHandler, "set_response_params"
        )
        """Whether this version of aiohttp has what `Handler` needs."""
        if self.is_usable:
            self._connector._factory = partial(Handler, asyncio.get_running_loop())

    def take(self, origin: str, now: float) -> tuple[Any, Handler] | None:
        """Return a connection that can be used, an `aiohttp.connector.Connection`, and its end.

        None: open one. `now` is the time of the event loop.

        The latest one, so that those which are not needed any more are closed.
        """
        waiting = self._waiting.get(origin)
        while waiting:
            connection, handler, since = waiting.pop()
            if now - since <= KEPT and handler.is_free():
                return connection, handler
            connection.close()
        return None

    async def open(self, request: aiohttp.ClientRequest) -> tuple[Any, Handler]:
        """Return a new connection for a request, and its end.

        Raises:
            aiohttp.ClientError, OSError: there is none.
        """
        try:
            connection = await self._connector.connect(request, [], self._timeout)
            return connection, connection.protocol
        except asyncio.TimeoutError as error:
            raise aiohttp.ServerTimeoutError from error

    def keep(self, origin: str, connection: Any, handler: Handler) -> None:
        """Have a connection wait for its next call, unless it is of no further use."""
        if not handler.is_plain and handler.should_close:
            connection.close()
            return
        self._waiting.setdefault(origin, []).append((connection, handler, self._time()))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEPT, self._close_old)

    def close(self) -> None:
        """Close all that wait."""
        waiting, self._waiting = self._waiting, {}
        for connections in waiting.values():
            for connection, *_ in connections:
                connection.close()
        if self._sweep is not None:
            self._sweep.cancel()

    def _close_old(self) -> None:
        self._sweep, before, now = None, self._waiting, self._time()
        self._waiting = {}
        for origin, connections in before.items():
            for connection, handler, since in connections:
                if now - since >= KEPT or not handler.is_connected():
                    connection.close()
                else:
                    self._waiting.setdefault(origin, []).append((connection, handler, since))
        if self._waiting:
            self._sweep = asyncio.get_running_loop().call_later(KEPT, self._close_old)
