"""What a server reads of its requests: which ones, how much of them, and for how long.

`GuardedRequest` is a request class of Sanic, so it works in every Sanic app, that of `rasa run`
included. Without it, half a body is held until the response is late, and `Upgrade: websocket` turns
every deadline off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sanic import Request, Sanic
from sanic.compat import Header
from sanic.exceptions import InvalidUsage, RequestTimeout, SanicException, ServiceUnavailable

from bridge.http.chunks import is_here, pieces
from bridge.http.direct import Arrived, Routes
from bridge.http.framing import BadFraming, body_length

BODY_SECONDS = 15.0
"""Seconds in which a body must arrive, counted from the end of its head."""
SLOWEST = 64 * 1024
"""Bytes a second at which a body may arrive later, on a URL without a limit here."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes of all bodies together that are being received or answered, unless one may be longer."""
MOST_VALUES = 30_000
"""Values of a JSON body, estimated by its separators: each takes up to 100 bytes once parsed, so a
body of `[],[],…` would take 25 times its length."""
SEPARATORS = (b",", b"[", b"{")
RETRY_AFTER = 5
"""Seconds that a sender should wait if there are too many requests at once."""


class Intake:
    """The limits of one app: the bytes of a body, by URL, and of all bodies together."""

    def __init__(self, default: int | None, longest: int = 0) -> None:
        """`default` is in bytes. None leaves all URLs to the app that have no limit here.

        `longest` is how many bytes a body may have on those.
        """
        self._default = default
        self._longest = longest
        self._limits: dict[str, int] = {}
        self.sockets: set[str] = set()
        """Paths that may be upgraded to a WebSocket."""
        self.arriving: dict[GuardedRequest, None] = {}
        """Requests whose body is being received, the oldest first."""
        self.held = 0
        """Bytes of all bodies that are being received or answered."""
        self.answered: Callable[[str, int], None] = _nothing
        """Called with path and status of each refusal (400 and above), before it is sent."""
        self.routes: Routes | None = None
        """The direct routes of the app, known with its first connection."""

    def limit(self, prefix: str, most: int) -> None:
        """Accept at most `most` bytes on URLs that start with a prefix."""
        self._limits[prefix] = most

    def limit_of(self, path: str) -> int | None:
        """Return how many bytes a body may have; None leaves that to the app."""
        found = (most for prefix, most in self._limits.items() if path.startswith(prefix))
        return next(found, self._default)

    @property
    def room(self) -> int:
        """Bytes that there is room for, without cutting any request off."""
        return MOST_BYTES - self.held

    def may_upgrade(self, path: str) -> bool:
        """Return whether a URL may be upgraded to a WebSocket."""
        return path.rstrip("/") in self.sockets or self.limit_of(path) is None

    def hold(self, request: GuardedRequest, more: int) -> None:
        """Count further bytes of a body.

        The oldest unfinished bodies make room for it: a client that sends slowly, or never ends,
        must not keep others out.

        Raises:
            ServiceUnavailable: there is no room, because the other requests are complete.
        """
        request.held += more
        self.held += more
        while self.held > max(MOST_BYTES, self._longest):
            oldest = next(iter(self.arriving), request)
            self.release(oldest)
            self.arriving.pop(oldest, None)
            if oldest is request:
                raise _too_many()
            oldest.cut_off(_too_many())

    def release(self, request: GuardedRequest) -> None:
        """Forget the bytes of a request."""
        self.held -= request.held
        request.held = 0


def guard(app: Sanic[Any, Any], default: int | None = None) -> Intake:
    """Check all requests of an app from now on; return its limits, which can be extended.

    `default` is the limit of a body in bytes; see `Intake`.
    """
    if not hasattr(app.ctx, "intake"):
        app.ctx.intake = Intake(default, app.config.REQUEST_MAX_SIZE if default is None else 0)
        app.request_class = GuardedRequest
    intake: Intake = app.ctx.intake
    return intake


class GuardedRequest(Request):
    """A request whose head all parsers read alike, and whose body is short and arrives in time."""

    __slots__ = ("_deadline", "_is_last", "_length", "_limit", "_stream", "held")

    def __init__(self, *, method: str, app: Any, head: bytes = b"", **given: Any) -> None:
        """The arguments are Sanic's. For requests that it cannot read, it makes one without a head.

        Raises:
            InvalidUsage: the request is refused.
        """
        self._stream: Any = None
        self._deadline: asyncio.TimerHandle | None = None
        self.held = 0
        """Bytes of the body so far."""
        try:
            length = body_length(head) if head else 0
        except BadFraming as error:
            raise InvalidUsage(str(error)) from None
        if not head:
            given["url_bytes"] = b"*"
        try:
            super().__init__(method=method, app=app, head=head, **given)
        except Exception as error:
            raise InvalidUsage("the URL is malformed") from error
        self._check_upgrade(length)
        self._length = length
        self._limit = self._intake.limit_of(self.path)
        # Sanic itself reads the chunks that a handler leaves, and takes malformed ones. What
        # follows them could be another request.
        self._is_last = length is None and self._limit is None

    @classmethod
    def of(cls, arrived: Arrived, protocol: Any) -> GuardedRequest:
        """Return a request that has arrived as Sanic's; it is not connected to its stream."""
        headers = Header(arrived.headers)
        request = cls(
            method=arrived.method,
            app=protocol.app,
            head=arrived.head,
            url_bytes=arrived.route.path.encode(),
            headers=headers,
            version="1.1",
            transport=protocol.transport,
        )
        request.route = arrived.route.sanics
        request.body = arrived.body
        request.conn_info = protocol.conn_info
        request._length = 0  # nothing more is awaited
        return request

    def __del__(self) -> None:
        if self.held:
            self._intake.release(self)

    @property
    def _intake(self) -> Intake:
        intake: Intake = self.app.ctx.intake
        return intake

    @property
    def stream(self) -> Any:
        """Sanic's connection. Sanic sets it to None once the request is answered."""
        return self._stream

    @stream.setter
    def stream(self, value: Any) -> None:
        if value is None and self._stream is not None:
            self.left()
        self._stream = value
        if value is None:
            return
        if self._is_last:
            value.keep_alive = False
        if self._length != 0 and not is_here(value):
            loop = asyncio.get_running_loop()
            due = loop.time() + BODY_SECONDS
            self._deadline = loop.call_at(due, self._late, due)

    def left(self) -> None:
        """Forget the body: the request is answered, or its connection is lost."""
        self._ended()
        self._intake.release(self)

    def _check_upgrade(self, length: int | None) -> None:
        if "upgrade" not in self.headers or "websocket" not in self.headers["upgrade"].lower():
            return
        asked = "upgrade" in self.headers.get("connection", "").lower()
        if not (self._intake.may_upgrade(self.path) and asked and length == 0):
            raise InvalidUsage("this request cannot be upgraded to a WebSocket")

    async def receive_body(self) -> None:
        """Receive the body; Sanic calls this before a handler.

        Raises:
            SanicException: the body is malformed (400) or too long (413), or there are too many
                at once (503).
        """
        intake, stream = self._intake, self._stream
        if self._limit is not None:
            stream.request_max_size = min(stream.request_max_size, self._limit)
        intake.arriving[self] = None
        try:
            self.body = await self._received(intake, stream)
            # Sanic pauses a fast sender. Unless it reads on, it does not notice that the client has
            # gone, and the handler waits for nothing.
            transport = stream.protocol.transport
            if transport is not None and not transport.is_closing():
                transport.resume_reading()
        except BaseException as error:
            intake.release(self)
            if getattr(error, "status_code", 0) != 413:  # then Sanic lets the client read it
                self._leave(stream)
            raise
        finally:
            intake.arriving.pop(self, None)
            self._ended()

    async def _received(self, intake: Intake, stream: Any) -> bytes:
        body: bytes | bytearray
        if is_here(stream):
            body = await stream.read()
            stream.request_body = None  # as its next `read` would note
            intake.hold(self, len(body))
        else:
            body = bytearray()  # not a list: tiny chunks would cost fifty times their size
            async for piece in pieces(stream):
                intake.hold(self, len(piece))
                body += piece
        may_have_many = self._limit is not None and len(body) > MOST_VALUES
        if may_have_many and sum(map(body.count, SEPARATORS)) > MOST_VALUES:
            raise InvalidUsage("the body has too many values")
        return bytes(body)

    def respond(self, response: Any = None, **more: Any) -> Any:
        """Close the connection after an answer to a request whose body no handler has read."""
        stream, intake = self._stream, self._intake
        status = more.get("status", 200) if response is None else response.status
        is_unread = stream is not None and stream.request_body and stream.request is self
        if is_unread and status != 413 and self._limit is not None:
            self._leave(stream)
        if status >= 400:
            intake.answered(self.path, status)
        return super().respond(response, **more)

    def _late(self, due: float) -> None:
        """Cut the body off at the time `due`, unless it is a long one that arrives steadily."""
        stream = self._stream
        if stream is not None and self._limit is None:
            received = stream.request_bytes - stream.request_bytes_left
            loop = asyncio.get_running_loop()
            if due + received / SLOWEST > loop.time():
                self._deadline = loop.call_at(due + received / SLOWEST, self._late, due)
                return
        self.cut_off(RequestTimeout(f"the body did not arrive within {BODY_SECONDS:g} s"))

    def cut_off(self, error: SanicException) -> None:
        """Answer with an error and close the connection, if the body has not arrived yet."""
        stream = self._stream
        if stream is not None and stream.request is self and stream.request_body:
            stream.exception = error
            self._leave(stream)
            stream.protocol._task.cancel()

    def _leave(self, stream: Any) -> None:
        """Do not wait for the rest of the body."""
        stream.request_body = None
        stream.keep_alive = False

    def _ended(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _nothing(path: str, status: int) -> None:
    return None


def _too_many() -> SanicException:
    error = ServiceUnavailable("too many requests at once, nothing is lost if you send it again")
    error.headers = {"Retry-After": str(RETRY_AFTER)}
    return error
