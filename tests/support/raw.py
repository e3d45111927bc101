"""HTTP as bytes on a socket, for requests that no client library would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 30.0
"""Seconds until a test gives up on an answer."""


@dataclass(frozen=True)
class Answer:
    status: int
    """0 if the server closed the connection without an answer."""
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Any:
        return json.loads(self.body).get("error")


class RawClient:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes; a connection that the server has closed is no error."""
        if self._writer.is_closing():
            return  # where uvloop is installed, as with rasa, `write` would raise a RuntimeError
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    async def answer(self, patience: float = PATIENCE) -> Answer:
        """Return the next answer.

        Raises:
            TimeoutError: there is none.
        """
        return await asyncio.wait_for(self._answer(), patience)

    async def closed(self, patience: float = PATIENCE) -> bytes:
        """Return what the server sends until it closes the connection.

        Raises:
            TimeoutError: it does not close the connection.
        """
        try:
            return await asyncio.wait_for(self._reader.read(), patience)
        except ConnectionError:
            return b""

    async def _answer(self) -> Answer:
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return Answer(0, {}, b"")
        return Answer(int(first.split(" ")[1]), headers, body)


@asynccontextmanager
async def connected(base: str) -> AsyncIterator[RawClient]:
    """Connect to a server, given as http://host:port."""
    url = urlsplit(base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def asked(base: str, request: bytes, patience: float = PATIENCE) -> Answer:
    """Return the answer to the bytes of one request."""
    async with connected(base) as client:
        await client.send(request)
        return await client.answer(patience)


def head(path: str, *lines: str, method: str = "POST", version: str = "1.1") -> bytes:
    """Return the head of a request, with its empty line."""
    text = [f"{method} {path} HTTP/{version}", "Host: bot.example", *lines, "", ""]
    return "\r\n".join(text).encode("latin-1")
