"""A fake external service on loopback. It records every call and answers as the test decides."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support import logged

Answer = Callable[["Call"], web.Response | Awaitable[web.Response]]


@dataclass
class Call:
    path: str
    headers: dict[str, str]
    body: Any
    """A JSON value, the fields of a form, or None."""
    at: float = field(default_factory=time.monotonic)
    method: str = "POST"
    query: dict[str, str] = field(default_factory=dict)


class FakeService:
    """`calls` in the order of arrival; `accepted` are the calls answered with 2xx."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.accepted: list[Call] = []
        self.answer: Answer = lambda call: web.json_response({})
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/"

    async def stop(self) -> None:
        """Close the port. `start` opens the same port again."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.Response:
        call = Call(
            request.path,
            dict(request.headers),
            await _body(request),
            method=request.method,
            query=dict(request.query),
        )
        self.calls.append(call)
        logged.note_text(call.body)
        answer = self.answer(call)
        response = await answer if asyncio.iscoroutine(answer) else answer
        assert isinstance(response, web.Response)
        if 200 <= response.status < 300:
            self.accepted.append(call)
        return response

    def texts(self, recipient: str | None = None) -> list[str]:
        """Texts of the accepted replies, in order."""
        return [
            call.body.get("text")
            for call in self.accepted
            if recipient is None or call.body.get("recipient_id") == recipient
        ]


class Trouble:
    """Answers of a service where some recipients stall or fail for a while.

    `how` maps these recipients to "stall", "500" or "429" (with Retry-After: 1). A stalled call
    never counts as accepted, because its caller may be gone.
    """

    def __init__(self, how: Mapping[str, str]) -> None:
        self._how = how
        self._over = asyncio.Event()
        self.refused: Counter[str] = Counter()
        """Number of refused calls per recipient."""

    def end(self) -> None:
        """Accept every call from now on. Stalled calls are answered with 503."""
        self._over.set()

    async def answer(self, call: Call) -> web.Response:
        how = self._how.get(call.body["recipient_id"])
        if how is None or self._over.is_set():
            return web.json_response({})
        self.refused[call.body["recipient_id"]] += 1
        if how == "stall":
            await self._over.wait()
            return web.json_response({}, status=503)
        headers = {"Retry-After": "1"} if how == "429" else {}
        return web.json_response({}, status=int(how), headers=headers)


def troubled(recipients: Sequence[str]) -> dict[str, str]:
    """Assign each recipient one of the troubles, in turn."""
    return dict(zip(recipients, itertools.cycle(("stall", "500", "429")), strict=False))


async def _body(request: web.Request) -> Any:
    if request.content_type == "multipart/form-data":
        return {name: str(value) for name, value in (await request.post()).items()}
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(await request.text(), keep_blank_values=True))
    return await request.json() if request.can_read_body else None
