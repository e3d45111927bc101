"""One POST over a connection of aiohttp, without the layers of its session.

For each call, the session builds a request, a response, a timer and several dicts of headers,
which takes four times as long as the rest. Here, what calls to one URL have in common is built
once. Connections, names and TLS are aiohttp's, and so is its parser, for responses that are not
`plain`. Whatever is unusual is left to the session.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from bridge.http.direct import HTTP, LIBRARY
from bridge.http.pool import Pool
from bridge.http.received import Response, received
from bridge.runtime.deadline import deadline

MOST_TARGETS = 1000
"""Targets that are remembered. Some services have a URL for each conversation."""
UNUSUAL = {
    *("connection", "content-encoding", "content-length", "cookie", "expect", "host"),
    *("te", "trailer", "transfer-encoding", "upgrade", ""),
}
"""Headers with which the session makes the call: most of them say how it is sent."""


class Target(NamedTuple):
    """What the calls to one URL have in common, if their headers have the same names."""

    request: Any
    """An `aiohttp.ClientRequest` that is never sent: connections are opened for it."""
    origin: str
    """Scheme, host and port: calls to the same ones share connections."""
    head: str
    """The request line, and the headers that are always the same."""


class Exchange:
    """Makes calls with the connections, headers and time-outs of a session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._seconds = session.timeout.total or 0.0
        self._targets: dict[tuple[str, ...], Target] = {}
        self._pool = Pool(session)
        self._time = asyncio.get_running_loop().time
        # Instrumentation adds traces, and wants to see every call.
        self._is_usable = (
            os.environ.get(HTTP) != LIBRARY
            and not session.trace_configs
            and aiohttp.__version__.startswith("3.")
            and self._pool.is_usable
        )

    def close(self) -> None:
        """Close all connections that no call uses."""
        self._pool.close()

    def _new_target(
        self,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        content_type: str,
    ) -> Target | None:
        names = {name.lower() for name in headers}
        try:
            parsed = URL(url)
        except ValueError:
            return None  # the session says what is wrong
        if parsed.scheme not in ("http", "https") or not parsed.raw_host or parsed.raw_user:
            return None
        if names & UNUSUAL:
            return None
        request = aiohttp.ClientRequest(
            "POST",
            parsed,
            params=params,
            headers={"Content-Type": content_type, **self._session.headers},
            loop=asyncio.get_running_loop(),
            session=self._session,
        )
        changing = names | {"content-length"}
        lines = [f"{k}: {v}\r\n" for k, v in request.headers.items() if k.lower() not in changing]
        head = f"POST {request.url.raw_path_qs} HTTP/1.1\r\n{''.join(lines)}"
        return Target(request, str(request.url.origin()), head)

    async def post(
        self,
        url: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        content: bytes,
        content_type: str,
    ) -> Response | None:
        """Make one call; return None if the session must make it.

        `content_type` is that of the body, unless a header says so.

        Raises:
            ValueError: a header contains a line end.
            DeadlineExceeded: no answer in time.
            aiohttp.ClientError, HttpProcessingError, OSError: the call failed.
        """
        if not self._is_usable:
            return None
        text = "".join([*headers, *headers.values()])
        if "\n" in text or "\r" in text or "\0" in text:
            raise ValueError("a header contains a line end")
        key: tuple[str, ...] = (content_type, url, *headers)
        if params:
            key = (*key, "", *params, *params.values())  # no header of a target has an empty name
        target = self._targets.get(key)
        if target is None:
            target = self._new_target(url, params, headers, content_type)
            if target is None:
                return None
            if len(self._targets) >= MOST_TARGETS:
                self._targets.clear()
            self._targets[key] = target
        pool, origin, now = self._pool, target.origin, self._time()
        until = now + self._seconds
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{target.head}{lines}Content-Length: {len(content)}\r\n\r\n"
        taken = pool.take(origin, now)
        if taken is None:
            with deadline(self._seconds):
                taken = await pool.open(target.request)
            now = self._time()
        connection, handler = taken
        try:
            answer = handler.send(head.encode() + content, until - now, now)
            try:
                response = await answer
            finally:
                handler.countdown.stop()
            if response is None:
                with deadline(until - self._time()):
                    began = await _began(handler)
        except BaseException:
            connection.close()
            raise
        try:
            return response or await received(*began, seconds=until - self._time())
        finally:
            pool.keep(origin, connection, handler)


async def _began(protocol: Any) -> tuple[int, Mapping[str, str], aiohttp.StreamReader]:
    """Return status, headers and body of a response of which something has arrived."""
    message, body = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, body = await protocol.read()
    return message.code, message.headers, body
