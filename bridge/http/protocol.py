"""The connections of our servers: Sanic's, with a deadline for the head of a request.

Sanic's own deadline starts again with every byte, and it cannot answer a URL that is not UTF-8.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any

from sanic import Blueprint, Request, Sanic
from sanic.exceptions import InvalidUsage, RequestTimeout, ServerError
from sanic.http import Http, Stage
from sanic.response import HTTPResponse
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from bridge.http.direct import Arrived, direct_routes
from bridge.http.intake import GuardedRequest, Intake
from bridge.http.listening import BUFFER
from bridge.http.responses import whole

HEAD_SECONDS = 15.0
"""Seconds in which a head must arrive, counted from its first byte."""
BODY_FOLLOWS = 0.1
"""Seconds in which a short body follows its head, if the two are written separately."""


_current: ContextVar[Request | None] | None = getattr(Request, "_current", None)


class Arrivals:
    """Tells a connection's only task what has arrived. asyncio's `Event` costs thrice that.

    What arrived before does not count: the task looks into the buffer before it waits.
    """

    __slots__ = ("_loop", "_waiter", "is_idle")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiter: asyncio.Future[Arrived | None] | None = None
        self.is_idle = False
        """Whether the task waits for the next request, and not for more of one; set by the task."""

    def set(self, request: Arrived | None = None) -> None:
        """End the wait: a request has arrived, or bytes, which are in the buffer."""
        waiter, self._waiter, self.is_idle = self._waiter, None, False
        if waiter is not None and not waiter.done():
            waiter.set_result(request)

    def wait(self) -> asyncio.Future[Arrived | None]:
        """Return what completes with the next bytes."""
        self._waiter = waiter = self._loop.create_future()
        return waiter


class _Http(Http):
    __slots__ = ("_failed", "intake")
    request: Any
    """An `Arrived`, or Sanic's."""

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self.intake: Intake | None = getattr(protocol.app.ctx, "intake", None)
        self._receive_more: Any = self._received
        self._failed: BaseException | None = None
        """The error of a direct request, which Sanic handles."""

    def init_for_request(self) -> None:
        super().init_for_request()  # type: ignore[no-untyped-call]
        if _current is not None:
            # Sanic 25 would keep the last request, with its body, until the connection is closed.
            _current.set(None)

    async def _received(self) -> None:
        """Return once more bytes are in the buffer. Between two requests, answer direct ones first.

        Sanic awaits this, and sees only what is not direct, and what has failed.
        """
        request: Arrived | None
        protocol: Any = self.protocol
        intake, arrivals = self.intake, protocol._data_received
        # Once a request is answered, Sanic may still read the rest of its body.
        is_between = self.stage is Stage.IDLE and self.request is None
        if not is_between or intake is None or not intake.routes:
            await protocol.receive_more()
            return
        while True:
            request = response = None  # not kept until the next one
            if not self.recv_buffer:
                arrivals.is_idle = True
                request = await protocol.receive_more()
            if request is None and (request := await self._buffered(intake)) is None:
                return
            self.stage, self.request, request.stream = Stage.HANDLER, request, self
            intake.held += request.length
            try:
                response = await request.route.handler(request)
                if not isinstance(response, HTTPResponse):
                    raise ServerError(f"Invalid response type {response!r} (need HTTPResponse)")
                if response.status >= 400:
                    intake.answered(request.route.path, response.status)
                data = whole(response)
                if data is None:
                    await self._answer_without_body(request, response)
                elif not protocol.has_sent(data):
                    await self._send(data)
            except (Exception, asyncio.CancelledError) as error:
                self._failed = error
                return
            finally:
                intake.held -= request.length
            self.stage, self.request, request.stream = Stage.IDLE, None, None

    async def _buffered(self, intake: Intake) -> Arrived | None:
        """Take a direct request out of the buffer, if it begins with one that is complete soon."""
        buffer = self.recv_buffer
        end = buffer.find(b"\r\n\r\n")
        if not 0 < end < self.HEADER_MAX_SIZE:
            return None
        assert intake.routes is not None
        request = intake.routes.announced(buffer, end, intake.room)
        if request is None or request.take(buffer):
            return request
        # Many clients write head and body one after the other. A body that is late is Sanic's.
        protocol: Any = self.protocol
        timer = protocol.loop.call_later(BODY_FOLLOWS, protocol._data_received.set)
        try:
            await protocol.receive_more()
        finally:
            timer.cancel()
        return request if request.take(buffer) else None

    async def _answer_without_body(self, request: Arrived, response: HTTPResponse) -> None:
        self.response_func: Any = self.http1_response_header
        sanics = self.request = self.sanic_request(request)
        sanics.stream = self
        started = await sanics.respond(response)
        await started.send(end_stream=True)
        sanics.stream = response.stream = None
        self.init_for_request()

    async def http1_request_header(self) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            self.stage = Stage.HANDLER
            raise failed
        begun = self.recv_buffer.find(b"\r\n\r\n") >= 0
        late = None if begun else self.protocol.loop.call_later(HEAD_SECONDS, self._late)
        try:
            await super().http1_request_header()  # type: ignore[no-untyped-call]
        except UnicodeError as error:
            raise InvalidUsage("the URL is malformed") from error
        finally:
            if late is not None:
                late.cancel()

    def sanic_request(self, request: Arrived) -> GuardedRequest:
        """Return a request that has arrived as Sanic would have made it."""
        return GuardedRequest.of(request, self.protocol)

    async def error_response(self, exception: Exception) -> None:
        """Have the app answer with an error."""
        if type(self.request) is Arrived:
            self.request = self.sanic_request(self.request)
            self.request.stream = self
        await super().error_response(exception)

    def _late(self) -> None:
        self.exception = RequestTimeout(f"the head did not arrive within {HEAD_SECONDS:g} s")
        task: asyncio.Task[Any] | None = self.protocol._task
        assert task is not None
        task.cancel()

    def create_empty_request(self) -> None:
        # It stands for a head that could not be read, so its URL is of no use.
        self.url = None
        super().create_empty_request()


class Connection(WebSocketProtocol):
    """A connection of an `HttpServer`."""

    __slots__ = ()

    def __init__(self, *, loop: asyncio.AbstractEventLoop, **named: Any) -> None:
        super().__init__(loop=loop, **named)
        self._data_received: Any = Arrivals(loop)

    def receive_more(self) -> Awaitable[Arrived | None]:  # type: ignore[override]
        """Return what completes once more data has arrived, with a request if that is whole."""
        transport: Any = self.transport
        transport.resume_reading()
        arrival: Awaitable[Arrived | None] = self._data_received.wait()
        return arrival

    def has_sent(self, data: bytes) -> bool:
        """Send a response, as `send` does, unless that has to wait or to fail."""
        transport: Any = self.transport
        if transport.is_closing() or not self._can_write.is_set():
            return False
        transport.write(data)
        self._time = time.monotonic()
        return True

    def data_received(self, data: bytes) -> None:
        """Close a connection that sends more and more while its request is being answered.

        Sanic would pause it, and not notice that it is gone.
        """
        arrivals = self._data_received
        if arrivals.is_idle:
            intake = self._http.intake
            request = intake.routes.whole(data, intake.room)
            if request is not None:
                self._time = time.monotonic()
                arrivals.set(request)
                return
        if self.websocket is None and data and len(self.recv_buffer) + len(data) < BUFFER:
            # As Sanic does, which looks at its settings twice.
            self._time = time.monotonic()
            self.recv_buffer += data
            arrivals.set()
            return
        http, most = self._current(), self.app.config.REQUEST_BUFFER_SIZE
        is_answering = self.websocket is None and http and not http.request_body
        if is_answering and len(self.recv_buffer) + len(data) > most:
            self.abort()
        else:
            super().data_received(data)  # type: ignore[no-untyped-call]

    def connection_lost(self, exc: BaseException | None) -> None:
        http = self._current()
        request = http.request if http is not None else None
        if isinstance(request, GuardedRequest):
            # Sanic leaves it in a reference cycle, so it would count until the next collection.
            request.left()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]
        self.recv_buffer.clear()  # Sanic 21.12 keeps the connection for some seconds

    def _current(self) -> Any:
        """Return the state of the HTTP connection; None before it is set up, and after its end."""
        return getattr(self, "_http", None)

    def abort(self) -> None:
        # Sanic also forgets the transport: then a handler that still runs fails, and is logged.
        if self.transport is not None:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Read no more of a WebSocket whose client does not read: each ping is answered."""
        super().pause_writing()  # type: ignore[no-untyped-call]
        if self.websocket is not None and self.transport is not None:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()  # type: ignore[no-untyped-call]
        transport = self.transport
        if self.websocket is None or transport is None or transport.is_closing():
            return
        if self.websocket.pause_frame_fut is None:  # else the handler is busy
            transport.resume_reading()

    def _setup_connection(self, *arguments: Any, **named: Any) -> None:
        super()._setup_connection(*arguments, **named)  # type: ignore[no-untyped-call]
        self._http = _Http(self)
        intake = self._http.intake
        if intake is not None and intake.routes is None:
            intake.routes = direct_routes(self.app, lambda path: intake.limit_of(path) or 0)


class ConnectionsOf(Blueprint):
    """Gives the connections of the app that it is registered with our limits, if `run` starts it.

    For apps of others: `rasa run` creates its app, and calls `run` without a protocol.
    """

    __slots__ = ()

    def register(self, app: Sanic[Any, Any], options: dict[str, Any]) -> None:
        super().register(app, options)  # type: ignore[no-untyped-call]
        app.__class__ = _App


class _App(Sanic):  # type: ignore[type-arg] # Sanic 21.12 is not generic
    __slots__ = ()

    def run(self, *arguments: Any, **named: Any) -> None:
        named.setdefault("protocol", Connection)
        super().run(*arguments, **named)
