"""The Socket.IO server: python-socketio's, with limits for what a stranger may send and hold.

python-socketio collects the attachments of a binary event without a limit, accepts any number of
connects on one transport, and keeps transports that never connect.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from sanic import Request as SanicRequest, Sanic
from sanic.response import HTTPResponse
from sanic_routing.exceptions import RouteExists
from socketio import AsyncServer

from bridge.errors import SettingsError
from bridge.http.cors import may_connect
from bridge.http.intake import guard
from bridge.http.responses import json_response
from bridge.telemetry import metrics

LONGEST_EVENT = 128 * 1024
"""Bytes of one event, or of one request that polls."""
MOST_WAITING = 1000
"""Packets that may wait for a client that does not read them; then its transport is closed."""
CONNECT_SECONDS = 15.0
"""Seconds for which a transport may be open without being connected to the namespace."""
SWEEP_SECONDS = 1.0
BINARY = ("5", "6")
"""First letters of the packets that announce attachments."""
CONNECT = "0"

# Both log users' texts at INFO; the second logs a traceback for each malformed packet.
server_log = logging.getLogger("bridge.connectors.socketio.server")
server_log.setLevel(logging.ERROR)
engine_log = logging.getLogger("bridge.connectors.socketio.engine")
engine_log.setLevel(logging.CRITICAL)


class TextServer(AsyncServer):  # type: ignore[misc]
    """A server for events in JSON, on one namespace."""

    def __init__(self, channel: str, namespace: str, manager: Any, most: int) -> None:
        """`most` is the number of clients; further ones are answered 503."""
        super().__init__(
            async_mode="sanic",
            # [] means that `bridge.http.cors` or a proxy sets the CORS headers.
            cors_allowed_origins=[],
            client_manager=manager,
            logger=server_log,
            engineio_logger=engine_log,
            max_http_buffer_size=LONGEST_EVENT,
            # One event after the other: a client waits for the queue, not its events in our memory.
            async_handlers=False,
        )
        self._channel = channel
        self._namespace = namespace
        self._most = most
        self._unconnected: dict[str, float] = {}
        """Transport without a namespace → monotonic time at which it was first seen."""
        self._sweeping: asyncio.Task[None] | None = None

    def attach(self, app: Sanic[Any, Any], path: str) -> None:
        """Serve a path of an app, with WebSockets.

        Raises:
            SettingsError: another channel uses the path.
        """
        path = f"/{path.strip('/')}"

        async def serve(request: SanicRequest) -> HTTPResponse:
            return await self._serve(request)

        try:
            # Not `super().attach`: all its routes have the same name, which Sanic refuses.
            app.add_route(
                serve,
                f"{path}/",
                methods=["GET", "POST", "OPTIONS"],
                name=f"socketio_{self._channel}".replace("-", "_"),
            )
        except RouteExists as error:
            raise SettingsError(
                f"channel {self._channel}: key 'socketio_path': another channel uses {path}"
            ) from error
        app.enable_websocket()
        intake = guard(app)
        intake.sockets.add(path)
        intake.limit(f"{path}/", LONGEST_EVENT)

    def start(self) -> None:
        """Receive events, and close transports that break the limits."""
        # Not at the first connection: until then, events would pile up at the broker.
        self.manager_initialized = True
        self.manager.initialize()
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self) -> None:
        """Close the transports only: after a disconnect packet, clients would not reconnect."""
        self.manager.stop()
        if self._sweeping is not None:
            self._sweeping.cancel()
        for transport in list(self.eio.sockets.values()):
            # Not `eio.disconnect()`, which waits for clients that no longer read.
            await transport.close(wait=False)
        await self.shutdown()

    async def _serve(self, request: SanicRequest) -> HTTPResponse:
        if not may_connect(request):
            metrics.requests_rejected.labels(self._channel, 403).inc()
            return json_response({"error": "this origin is not listed for CORS"}, status=403)
        if "sid" not in request.args and len(self.eio.sockets) >= self._most:
            metrics.requests_rejected.labels(self._channel, 503).inc()
            return json_response({"error": "too many clients; try again later"}, status=503)
        try:
            response: HTTPResponse = await self.eio.handle_request(request)
        except (ValueError, LookupError, TypeError, AttributeError, OSError):
            # What Engine.IO raises for packets that it cannot read.
            response = json_response({"error": "not an Engine.IO request"}, status=400)
            if "upgrade" in request.headers:
                request.transport.abort()  # type: ignore[attr-defined]
        return response

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        transport = self.eio.sockets.get(eio_sid)
        if transport is None or transport.closed:
            return
        try:
            if not isinstance(data, str) or data.startswith(BINARY):
                raise ValueError("not a text packet")
            if data.startswith(CONNECT) and self._sid_of(eio_sid) is not None:
                raise ValueError("connected already")
            await super()._handle_eio_message(eio_sid, data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            metrics.requests_rejected.labels(self._channel, 400).inc()
            await self._cut(transport)

    def _sid_of(self, eio_sid: str) -> str | None:
        sid: str | None = self.manager.sid_from_eio_sid(eio_sid, self._namespace)
        return sid

    async def _cut(self, transport: Any) -> None:
        """Close a transport without waiting for its client."""
        await transport.close(wait=False, abort=True)
        transport.queue.put_nowait(None)  # ends the task that writes, which closes the WebSocket
        self.eio.sockets.pop(transport.sid, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            sockets = dict(self.eio.sockets)
            self._unconnected = {
                sid: self._unconnected.get(sid, now) for sid in sockets if self._sid_of(sid) is None
            }
            for sid, transport in sockets.items():
                late = now - self._unconnected.get(sid, now) >= CONNECT_SECONDS
                if late or transport.queue.qsize() > MOST_WAITING:
                    await self._cut(transport)
