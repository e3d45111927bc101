"""The webhook role: a Sanic server that mounts every channel under Rasa's URLs."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse, json as json_response, text as text_response

import bridge
from bridge import logs, metrics
from bridge.connectors.answers import error_response
from bridge.connectors.registry import Channel, warn
from bridge.connectors.request import MAX_BODY
from bridge.errors import BridgeError, SettingsError
from bridge.role import serve
from bridge.settings import BrokerSettings
from bridge.webhook.edge import Edge

log = logging.getLogger(__name__)

READY_SECONDS = 3.0
"""How long a new process waits for the broker before it listens without one."""


async def serve_webhooks(
    broker: BrokerSettings, channels: Mapping[str, Channel], host: str, port: int, grace: float
) -> None:
    """Serve every channel until a signal comes; requests that run have `grace` seconds to end.

    Raises:
        SettingsError: the address is taken or not ours.
        TopologyError: the broker and the settings disagree.
    """
    warn(channels.values())
    edge = Edge(broker, channels)
    app = create_app(edge, channels)
    # Bound here: Sanic 21.12 exits with code 0 when its port is taken. And not `app.run`, which
    # waits for idle connections before it closes them.
    server: Any = await app.create_server(
        sock=_bind(host, port),
        access_log=False,
        return_asyncio_server=True,
        asyncio_server_kwargs={"start_serving": False},
    )
    await server.startup()
    await server.before_start()

    async def start() -> None:
        # A rolling restart should answer no 503; without a broker /readyz should.
        ready = [asyncio.ensure_future(link.ready.wait()) for link in edge.links]
        await asyncio.wait(ready, timeout=READY_SECONDS)
        for waiting in ready:
            waiting.cancel()
        await server.start_serving()
        await server.after_start()
        log.info("listening on http://%s:%d: %s", host, port, _urls(channels))

    async def drain() -> None:
        await server.before_stop()
        server.close()
        deadline = time.monotonic() + grace
        while server.connections and time.monotonic() < deadline:
            for connection in list(server.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(server.connections):
            connection.abort()
        await server.after_stop()

    await serve([*edge.links, edge.reporter], drain, start)


def create_app(edge: Edge, channels: Mapping[str, Channel]) -> Sanic[Any, Any]:
    """Return the Sanic application; starting and stopping the edge is the caller's part."""
    app: Sanic[Any, Any] = Sanic("rasa-channel-bridge", configure_logging=False)
    app.config.REQUEST_MAX_SIZE = MAX_BODY
    # A synchronous channel has a deadline of its own.
    app.config.RESPONSE_TIMEOUT = 3600
    app.config.FALLBACK_ERROR_FORMAT = "json"

    def channel_of(request: Request) -> str:
        name = request.path.removeprefix("/webhooks/").partition("/")[0]
        return name if name in channels else ""

    @app.get("/")
    async def hello(_: Request) -> HTTPResponse:
        return text_response(f"Hello from rasa-channel-bridge: {bridge.__version__}")

    @app.get("/healthz")
    async def alive(_: Request) -> HTTPResponse:
        return json_response({"status": "ok"})

    @app.get("/readyz")
    async def ready(_: Request) -> HTTPResponse:
        problem = edge.problem()
        if problem:
            return json_response({"status": "not ready", "error": problem}, status=503)
        return json_response({"status": "ok"})

    @app.exception(SanicException)
    async def refused(request: Request, error: SanicException) -> HTTPResponse:
        status = getattr(error, "status_code", 500)
        message = f"the body is larger than {MAX_BODY} bytes" if status == 413 else str(error)
        if status == 404:
            message = f"no such URL; channels: {_urls(channels)}"
        return json_response(
            {"error": message}, status=status, headers=getattr(error, "headers", None)
        )

    @app.exception(BridgeError)
    async def failed(request: Request, error: BridgeError) -> HTTPResponse:
        return error_response(error)

    @app.exception(Exception)
    async def broken(request: Request, error: Exception) -> HTTPResponse:
        with logs.bound(channel=channel_of(request)):
            log.error("answered 500: %s in a handler%s", type(error).__name__, logs.frames(error))
        return json_response({"error": "internal error; it is in the log"}, status=500)

    async def count_rejected(request: Request, response: Any) -> None:
        if response.status >= 400:
            metrics.requests_rejected.labels(channel_of(request), response.status).inc()

    app.register_middleware(count_rejected, "response")
    for name, channel in channels.items():
        app.blueprint(channel.connector.blueprint(edge.inbox), url_prefix=f"/webhooks/{name}")
    return app


def _urls(channels: Mapping[str, Channel]) -> str:
    return ", ".join(channel.connector.served_at() for channel in channels.values())


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port or"
            " --interface"
        ) from error
    return listening
