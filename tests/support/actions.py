"""An action server whose actions take as long as the test decides, and which notes when they end.

Rasa closes its connection when the turn is cancelled. The server then cancels the action.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

FAR = 60.0
"""Seconds that a slow action takes, unless it is cancelled."""


class SlowActions:
    """`began` and `stopped` hold (conversation, Unix time) of slow actions; it answers the rest."""

    def __init__(self, port: int, is_slow: Callable[[str], bool]) -> None:
        """`is_slow(text)` tells whether the action of a turn with this text is a slow one."""
        self.began: list[tuple[str, float]] = []
        self.stopped: list[tuple[str, float]] = []
        self._port = port
        self._is_slow = is_slow
        app = web.Application()
        app.router.add_post("/webhook", self._run)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _run(self, request: web.Request) -> web.Response:
        call: dict[str, Any] = await request.json()
        if self._is_slow(call["tracker"]["latest_message"]["text"]):
            self.began.append((call["sender_id"], time.time()))
            try:
                await asyncio.sleep(FAR)
            except asyncio.CancelledError:
                self.stopped.append((call["sender_id"], time.time()))
                raise
        return web.json_response({"events": [], "responses": [{"text": "10% off"}]})
