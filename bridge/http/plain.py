"""Responses that arrive in one piece and say how long they are: most of those that services send.

Finding out what such a response is takes a tenth of what aiohttp's parser and stream take. Every
other response is left to them, and so is every one whose form is in doubt.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict

from bridge.errors import DeadlineExceeded
from bridge.http.received import Response
from bridge.runtime.deadline import Countdown

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) [\t -~\x80-\xff]*\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*)\r\n"
)
"""A head that can be understood in one way only (RFC 9112 §4 and §5)."""
_FRAMING = re.compile(
    rb"\n(content-length|connection|transfer-encoding|content-encoding):[ \t]*([^\r]*)"
)
"""What tells how a body is sent, in lower case."""
_BODILESS = b"204", b"304"
_END = b"\r\n\r\n"
LONGEST_HEAD = 4096
"""Bytes of the head of a plain response."""
MOST_HEADS = 256
"""Heads that are remembered. Many services send the same one for a second, until the date changes,
whatever the body."""


class Headers(Mapping[str, str]):
    """The headers of a response, which are parsed once somebody asks for one."""

    __slots__ = ("_lines", "_parsed")

    def __init__(self, lines: bytes) -> None:
        self._lines = lines
        self._parsed: CIMultiDict[str] | None = None

    def _headers(self) -> CIMultiDict[str]:
        if self._parsed is None:
            lines = self._lines.decode("utf-8", "surrogateescape").split("\r\n")[:-1]
            pairs = (line.partition(":") for line in lines)
            self._parsed = CIMultiDict([(name, value.strip(" \t")) for name, _, value in pairs])
        return self._parsed

    def __getitem__(self, name: str) -> str:
        return self._headers()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers())

    def __len__(self) -> int:
        return len(self._headers())


def plain(data: bytes) -> Response | None:
    """Return the response that these bytes are; None if aiohttp must parse them."""
    start = data.find(_END) + len(_END)
    if start > LONGEST_HEAD:
        return None
    status, headers, length = _announced(data[:start])
    return Response(status, headers, data[start:]) if len(data) - start == length else None


@lru_cache(MOST_HEADS)
def _announced(head: bytes) -> tuple[int, Headers, int]:
    """Return status, headers and length of the body; a length of -1 if aiohttp must parse it."""
    parsed = _HEAD.fullmatch(head)
    if parsed is None:
        return _UNUSUAL
    status, lines = parsed.groups()
    length: bytes | None = None
    for name, value in _FRAMING.findall(b"\n" + lines.lower()):
        if name == b"content-length" and length is None:
            length = value.rstrip(b" \t")
        elif name != b"connection" or value != b"keep-alive":
            return _UNUSUAL
    if status in _BODILESS:
        return (int(status), Headers(lines), 0) if length is None else _UNUSUAL
    if length is None or not length.isdigit() or len(length) >= 10:
        return _UNUSUAL
    return int(status), Headers(lines), int(length)


_UNUSUAL = 0, Headers(b""), -1


class Handler(ResponseHandler):
    """aiohttp's end of a connection, which gives plain responses to the call that waits."""

    answer: asyncio.Future[Response | None] | None = None
    """Completes once a response arrives, or never will; with None if it must be `read`."""
    is_plain = True
    """Whether nothing but plain responses has arrived: aiohttp knows of none of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.countdown = Countdown(self._is_late)

    def send(self, request: bytes, seconds: float, now: float) -> asyncio.Future[Response | None]:
        """Send a request; return its `answer`, which is DeadlineExceeded after so many seconds.

        `now` is the time of the event loop. Call `countdown.stop()` afterwards.
        """
        answer: asyncio.Future[Response | None] = self._loop.create_future()
        self.answer = answer
        assert self.transport is not None, "it is connected"
        self.transport.write(request)
        self.countdown.start(seconds, now)
        return answer

    def is_free(self) -> bool:
        """Return whether the next call may use the connection.

        Whatever has arrived before that call is no answer to it.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return self.is_plain or not self.should_close

    def _is_late(self) -> None:
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_exception(DeadlineExceeded(None))

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:
            self.is_plain = False
            super().data_received(data)
            return
        self.answer = None
        response = plain(data)
        if response is None:
            self.is_plain = False
            self.set_response_params(read_until_eof=True, auto_decompress=False)
            super().data_received(data)
        if not answer.done():
            answer.set_result(response)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_result(None)
