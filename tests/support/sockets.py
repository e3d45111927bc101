"""The browser's side of Socket.IO, over a real WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import socketio

from tests.support.waiting import PATIENCE, eventually

if not hasattr(aiohttp, "ClientWSTimeout"):
    # python-engineio's client expects aiohttp 3.11. aiohttp 3.9 takes plain seconds instead.
    setattr(aiohttp, "ClientWSTimeout", lambda ws_close: ws_close)  # noqa: B010


class Client:
    """`heard` collects the events received, as (event, data)."""

    def __init__(self, namespace: str = "/") -> None:
        self.io = socketio.AsyncClient(reconnection=False)
        self.namespace = namespace
        self.heard: list[tuple[str, Any]] = []
        self.ended: list[str] = []
        """Why its connection ended."""
        self.io.on("*", self._hear, namespace=namespace)
        self.io.on("disconnect", self.ended.append, namespace=namespace)

    async def _hear(self, event: str, data: Any = None) -> None:
        self.heard.append((event, data))

    @property
    def sid(self) -> str:
        return str(self.io.get_sid(self.namespace))

    async def connect(self, url: str, transport: str = "websocket", **options: Any) -> None:
        """Connect. `options` are those of `AsyncClient.connect`."""
        await self.io.connect(
            url,
            transports=[transport],
            namespaces=[self.namespace],
            wait_timeout=int(PATIENCE),
            **options,
        )

    async def emit(self, event: str, data: Any) -> None:
        await self.io.emit(event, data, namespace=self.namespace)

    async def ask(self, event: str, data: Any) -> Any:
        """Emit an event and return the acknowledgement."""
        return await self.io.call(event, data, namespace=self.namespace, timeout=int(PATIENCE))

    async def hears(self, *expected: tuple[str, Any]) -> None:
        """Wait for exactly these events, in this order."""
        await eventually(lambda: len(self.heard) >= len(expected), f"hears {expected}")
        assert self.heard == list(expected)
        self.heard.clear()


@asynccontextmanager
async def client(url: str, namespace: str = "/", **options: Any) -> AsyncIterator[Client]:
    """Yield a client connected to a server."""
    it = Client(namespace)
    await it.connect(url, **options)
    try:
        yield it
    finally:
        await it.io.disconnect()
