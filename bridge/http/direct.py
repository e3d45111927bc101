"""Requests that need nothing of Sanic but its connection: their bytes go straight to a handler.

Nearly every request of a service is a POST to one URL, with a short body that arrives at once.
For each, Sanic makes a request with forty fields, finds its route, and streams the response.
Whatever is unusual is left to Sanic, malformed requests included: so what is refused, and how, is
decided in one place.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from bridge.http.framing import BadFraming, body_length

HTTP, LIBRARY = "RASA_BRIDGE_HTTP", "library"
"""Environment variable, and its value with which Sanic answers every request, and aiohttp's session
makes every call (`exchange`)."""
LONGEST_BODY = 16 * 1024
"""Bytes of a body. `GuardedRequest` also checks how many values longer ones have."""
LONGEST_KNOWN, MOST_KNOWN = 1024, 256
"""Bytes of a head that is remembered, and the number of heads."""
SPECIAL = frozenset(("connection", "expect", "upgrade"))
"""Headers that can change how a request is answered."""
_MARK = "is_direct"

Handler = Callable[[Any], Awaitable[Any]]
F = TypeVar("F", bound=Callable[..., Any])


def direct(function: F) -> F:
    """Mark a handler, or a method that it calls, which does not care where its request comes from.

    It may receive an `Arrived` instead of Sanic's request, unless the URL has a query.
    """
    setattr(function, _MARK, True)
    return function


def direct_like(method: object) -> Callable[[F], F]:
    """Return a decorator that marks a handler if the method that it calls is marked."""
    return direct if _is_direct(method) else lambda handler: handler


def _is_direct(function: object) -> bool:
    return getattr(function, _MARK, False)


class Route(NamedTuple):
    """A URL whose requests may go straight to a handler."""

    handler: Handler
    path: str
    longest: int
    """Bytes of a body."""
    sanics: Any
    """The route as Sanic has it."""


class Arrived(msgspec.Struct, eq=False):
    """A request to a direct route: a POST without a query. Its body is taken once it is here.

    Until it is answered, `stream` is the state of its connection.
    """

    method: ClassVar[str] = "POST"

    route: Route
    head: bytes
    """Everything before the empty line."""
    headers: dict[str, str]
    """By their names in lower case."""
    length: int
    """Bytes of the body."""
    body: bytes = b""
    stream: Any = None

    def take(self, buffer: bytearray) -> bool:
        """Move the request out of a buffer that begins with its head; False: it is not complete."""
        start = len(self.head) + 4
        end = start + self.length
        if end > len(buffer):
            return False
        self.body = bytes(buffer[start:end])
        del buffer[:end]
        return True

    @property
    def url(self) -> str:
        """The absolute URL, as Sanic finds it out."""
        return str(self.stream.sanic_request(self).url)


class Routes:
    """The routes of an app that need nothing of Sanic, and what the latest heads announce.

    Most senders keep sending the same few heads, and reading one costs a tenth of a request.
    """

    def __init__(self, routes: Mapping[bytes, Route]) -> None:
        """`routes` maps request lines."""
        self._routes = routes
        self._known: dict[bytes, tuple[Route, dict[str, str], int]] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self._routes)

    def whole(self, data: bytes, room: int) -> Arrived | None:
        """Return the request that these bytes are, if its head is known, its body at most `room`
        bytes long, and nothing else is there: that is the usual case.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        known = self._known.get(head := data[:end])
        if known is None:
            return None
        route, headers, length = known
        body = data[end + 4 :]
        if len(body) != length or length > room:
            return None
        return Arrived(route, head, headers.copy(), length, body)

    def announced(self, buffer: bytearray, end: int, room: int) -> Arrived | None:
        """Return the first request in a buffer, in which its head ends at `end`.

        Return None unless its head is not unusual in any way, and announces a body of at most
        `room` bytes.
        """
        head = bytes(buffer[:end])
        known = self._known.get(head)
        if known is None:
            known = self._read(head)
            if known is None:
                return None
            if end <= LONGEST_KNOWN:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[head] = known
        route, headers, length = known
        return Arrived(route, head, headers.copy(), length) if length <= room else None

    def _read(self, head: bytes) -> tuple[Route, dict[str, str], int] | None:
        """Return the route of a request, its headers, and the length of its body."""
        route = self._routes.get(head[: head.find(b"\r\n")])
        if route is None:
            return None
        try:
            length = body_length(head)
        except BadFraming:
            return None
        if not length or length > route.longest:
            return None
        lines = head.decode(errors="surrogateescape").split("\r\n")[1:]
        fields = [line.partition(":") for line in lines]
        headers = {name.lower(): value.lstrip() for name, _, value in fields}
        if len(headers) < len(lines) or not _is_plain(headers):
            return None
        return route, headers, length


def direct_routes(app: Any, longest: Callable[[str], int]) -> Routes:
    """Return the routes of a Sanic app that need nothing of Sanic.

    `longest` returns how many bytes a body may have at a path. Middleware, signals and the access
    log need Sanic's request, so an app with any of them has no such route.
    """
    middleware = (
        *(app.request_middleware, app.response_middleware),
        *(app.named_request_middleware, app.named_response_middleware),
    )
    signals = (signal.name for signal in app.signal_router.routes)
    is_off = app.config.ACCESS_LOG or os.environ.get(HTTP) == LIBRARY
    if is_off or any(middleware) or any(name.startswith("http.") for name in signals):
        return Routes({})
    found = {}
    for each in app.router.routes:
        if _is_direct(each.handler) and not each.requirements and "<" not in each.path:
            path = f"/{each.path}"
            line = f"POST {path} HTTP/1.1".encode()
            found[line] = Route(each.handler, path, min(longest(path), LONGEST_BODY), each)
    return Routes(found)


def _is_plain(headers: Mapping[str, str]) -> bool:
    """Return whether the connection stays open, and nothing else is asked for."""
    if SPECIAL.isdisjoint(headers):
        return True
    connection = headers.get("connection", "")
    return connection.lower() == "keep-alive" and SPECIAL.intersection(headers) == {"connection"}
