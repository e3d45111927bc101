"""The webhook role: a Sanic server that mounts every channel under Rasa's URLs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse, json as json_response, text as text_response

import bridge
from bridge.connectors.registry import Channel, warn
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.request import MAX_BODY
from bridge.errors import BridgeError
from bridge.http.server import HttpServer, new_app
from bridge.runtime.role import serve
from bridge.settings.files import BrokerSettings
from bridge.telemetry import metrics
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
    server = await HttpServer.prepare(app, host, port, "--port or --interface")

    async def start() -> None:
        # A rolling restart should answer no 503; without a broker /readyz should.
        ready = [asyncio.ensure_future(link.ready.wait()) for link in edge.links]
        await asyncio.wait(ready, timeout=READY_SECONDS)
        for waiting in ready:
            waiting.cancel()
        await server.start()
        log.info("listening on http://%s:%d: %s", host, port, _urls(channels))

    await serve([*edge.links, edge.reporter], lambda: server.drain(grace), start)


def create_app(edge: Edge, channels: Mapping[str, Channel]) -> Sanic[Any, Any]:
    """Return the Sanic application; starting and stopping the edge is the caller's part."""

    def channel_of(request: Request) -> str:
        name = request.path.removeprefix("/webhooks/").partition("/")[0]
        return name if name in channels else ""

    app = new_app("rasa-channel-bridge", MAX_BODY, channel_of)

    @app.get("/")
    async def hello(_: Request) -> HTTPResponse:
        return text_response(f"Hello from rasa-channel-bridge: {bridge.__version__}")

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

    async def count_rejected(request: Request, response: Any) -> None:
        if response.status >= 400:
            metrics.requests_rejected.labels(channel_of(request), response.status).inc()

    app.register_middleware(count_rejected, "response")
    for name, channel in channels.items():
        app.blueprint(channel.connector.blueprint(edge.inbox), url_prefix=f"/webhooks/{name}")
    return app


def _urls(channels: Mapping[str, Channel]) -> str:
    return ", ".join(channel.connector.served_at() for channel in channels.values())
