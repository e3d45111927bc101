"""The HTTP server of a role: Sanic, bound before it starts and drained before it stops."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse, json as json_response

from bridge.errors import SettingsError
from bridge.http.intake import guard
from bridge.http.listening import BUFFER, bind, is_listening, unusable
from bridge.http.protocol import Connection
from bridge.http.tls import HANDSHAKE_SECONDS
from bridge.telemetry import logs

log = logging.getLogger(__name__)

LONGEST_SOCKET_MESSAGE = 128 * 1024
"""Bytes of one WebSocket message."""


def new_app(
    name: str, max_body: int, channel_of: Callable[[str], str] = lambda path: ""
) -> Sanic[Any, Any]:
    """Return an application with /healthz whose error responses are JSON and quote no request.

    `max_body` is in bytes; `guard(app)` returns the limits of single URLs. `channel_of` names the
    channel of a path, for log lines.
    """
    app: Sanic[Any, Any] = Sanic(name, configure_logging=False)
    guard(app, max_body)
    app.config.REQUEST_MAX_SIZE = max_body
    app.config.REQUEST_BUFFER_SIZE = BUFFER
    app.config.WEBSOCKET_MAX_SIZE = LONGEST_SOCKET_MESSAGE
    # Requests have their own deadlines: for the head, the body, and the turn they wait for.
    app.config.RESPONSE_TIMEOUT = 3600
    app.config.FALLBACK_ERROR_FORMAT = "json"

    @app.get("/healthz")
    async def alive(_: Request) -> HTTPResponse:
        return json_response({"status": "ok"})

    @app.exception(Exception)
    async def broken(request: Request, error: Exception) -> HTTPResponse:
        with logs.bound(channel=channel_of(request.path)):
            log.error("answered 500: %s in a handler%s", type(error).__name__, logs.frames(error))
        return json_response({"error": "internal error; see the log"}, status=500)

    return app


class HttpServer:
    """A server for one application.

    `app.run` is not used because it waits for idle connections before it closes them.
    """

    def __init__(self, server: Any, bound: socket.socket, in_use: SettingsError) -> None:
        """`in_use` is raised by `start` if another process listens there meanwhile."""
        self._server = server
        self._bound = bound
        self._in_use = in_use

    @classmethod
    async def prepare(
        cls,
        app: Sanic[Any, Any],
        host: str,
        port: int,
        options: str,
        tls: SSLContext | None = None,
    ) -> HttpServer:
        """Bind the address; `options` names the CLI options that change it. Serve HTTPS with `tls`.

        Raises:
            SettingsError: the address is in use, or not an address of this host.
        """
        limits = {"ssl_handshake_timeout": HANDSHAKE_SECONDS} if tls else {}
        bound = bind(host, port, options)
        # Bound here because Sanic 21.12 exits with code 0 when its port is in use.
        server: Any = await app.create_server(
            sock=bound,
            ssl=tls,
            protocol=Connection,
            access_log=False,
            return_asyncio_server=True,
            asyncio_server_kwargs={"start_serving": False, **limits},
        )
        await server.startup()
        await server.before_start()
        return cls(server, bound, unusable(host, port, options, errno.EADDRINUSE))

    async def start(self) -> None:
        """Accept connections.

        Raises:
            SettingsError: another process has begun to listen at the address since `prepare`.
        """
        try:
            await self._server.start_serving()
        except OSError as error:
            raise self._in_use from error
        if not is_listening(self._bound):
            raise self._in_use
        await self._server.after_start()

    async def drain(self, grace: float) -> None:
        """Accept no further connection; running requests get `grace` seconds to finish."""
        await self._server.before_stop()
        self._server.close()
        deadline = time.monotonic() + grace
        while self._server.connections and time.monotonic() < deadline:
            for connection in list(self._server.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(self._server.connections):
            connection.abort()
        await self._server.after_stop()
