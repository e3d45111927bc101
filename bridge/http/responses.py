"""Responses of our HTTP servers. Sanic is imported with the first one: only servers load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanic.response import HTTPResponse

MOST_HEADS = 100
"""Encoded heads that are remembered, and whole responses."""
LONGEST_KNOWN = 200
"""Bytes of a body that is remembered."""
BODILESS = frozenset((*range(100, 200), 204, 304))
"""Statuses of responses without a body."""


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> HTTPResponse:
    """Return a response whose body is a JSON value."""
    made: HTTPResponse = _sanic().json(body, status, dict(headers or {}))
    return made


def text_response(
    body: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "text/plain; charset=utf-8",
) -> HTTPResponse:
    """Return a response whose body is a text, in UTF-8."""
    return _repeated()(body.encode(), status, headers or {}, content_type)


def whole(response: HTTPResponse) -> bytes | None:
    """Return the bytes of a response, after which the connection stays open.

    Return None if its status has no body.
    """
    body, headers = response.body or b"", response.headers
    key: tuple[object, ...] = response.status, response.content_type, body
    if headers:
        key += tuple(headers.items())
    try:
        known = _known.get(key)
    except TypeError:  # a cookie of Sanic 21.12 has no hash
        key, known = (), None
    if known is None:
        if response.status in BODILESS:
            return None
        known = _head(response, body) + body
        if key and len(body) <= LONGEST_KNOWN:
            if len(_known) >= MOST_HEADS:
                _known.clear()
            _known[key] = known
    return known


_known: dict[tuple[object, ...], bytes] = {}


def _head(response: HTTPResponse, body: bytes) -> bytes:
    response.headers["content-length"] = len(body)
    response.headers["connection"] = "keep-alive"
    head: bytes = _format()(response.status, response.processed_headers)
    return head


@cache
def _format() -> Any:
    from sanic.headers import format_http1_response

    return format_http1_response


@cache
def _sanic() -> Any:
    from sanic import response

    return response


@cache
def _repeated() -> Callable[[bytes, int, Mapping[str, str], str], HTTPResponse]:
    from sanic.compat import Header
    from sanic.response import HTTPResponse

    heads: dict[tuple[object, ...], tuple[tuple[bytes, bytes], ...]] = {}

    class Repeated(HTTPResponse):
        """A response that is often the same: its headers are encoded once."""

        __slots__ = ()

        def __init__(
            self, body: bytes, status: int, headers: Mapping[str, str], content_type: str
        ) -> None:
            # Sanic's own sets the same fields, some of them twice, in three calls.
            self.asgi = False
            self.body = body
            self.status = status
            self.headers = Header(headers)
            self.content_type = content_type
            self.stream = None
            self._cookies = None

        @property
        def processed_headers(self) -> Any:
            key = (self.status, self.content_type, *self.headers.items())
            try:
                known = heads.get(key)
            except TypeError:  # a cookie of Sanic 21.12 has no hash
                return super().processed_headers
            if known is None:
                if len(heads) >= MOST_HEADS:
                    heads.clear()
                known = heads[key] = tuple(super().processed_headers)
            return known

    return Repeated
