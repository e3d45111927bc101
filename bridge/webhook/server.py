"""The webhook role: a Sanic server that mounts each channel under Rasa's URL."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from ssl import SSLContext
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse, json as json_response, text as text_response

import bridge
from bridge.connectors.registry import Channel
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.request import MAX_BODY
from bridge.connectors.warnings import warn
from bridge.errors import BridgeError
from bridge.http.cors import Origins, allow_origins
from bridge.http.intake import guard
from bridge.http.listening import authority
from bridge.http.server import HttpServer, new_app
from bridge.runtime import health
from bridge.settings.api import ApiSettings
from bridge.settings.files import BrokerSettings
from bridge.telemetry import metrics
from bridge.webhook.agent import AbsentAgent
from bridge.webhook.api import Api
from bridge.webhook.node import WebhookNode

log = logging.getLogger(__name__)

OPEN_API = (
    "the HTTP API has no authentication: anyone who reaches this port can read and change every"
    " conversation; set --auth-token or --jwt-secret"
)
READY_SECONDS = 3.0
"""Seconds that a new process waits for the broker before it listens without one,"""
CONNECTED_SECONDS = 30.0
"""and if the broker has answered, or may still do so, as on a busy machine."""


async def serve_webhooks(
    broker: BrokerSettings,
    channels: Mapping[str, Channel],
    host: str,
    port: int,
    grace: float,
    *,
    api: ApiSettings | None = None,
    cors: Sequence[str] = (),
    tls: SSLContext | None = None,
) -> None:
    """Serve every channel until a signal; running requests get `grace` seconds to finish.

    `cors` lists the origins whose pages may use the webhooks; see `bridge.http.cors`. With `tls`
    the server speaks HTTPS.

    Raises:
        SettingsError: the address is in use, or not an address of this host; `cors` is wrong.
        TopologyError: the broker and the settings disagree.
    """
    origins = Origins(cors or broker.cors)
    node = WebhookNode(broker, channels, api=api is not None)
    app = create_app(node, channels)
    if api is not None:
        calls = Api(api, node.inbox, channels)
        calls.add_routes(app)
        if calls.access.is_open:
            log.warning(OPEN_API)
    if origins:
        allow_origins(app, origins)
    server = await HttpServer.prepare(app, host, port, "--port or --interface", tls)
    warn(channels.values())
    if not channels and api is None:
        log.warning("the credentials file names no channel; add one, such as 'rest:'")

    async def start() -> None:
        # A rolling restart must answer no 503. Without a broker, /readyz must still answer.
        if not await node.ready(READY_SECONDS) and node.publisher.failure is None:
            # It is just connecting, which takes minutes while hundreds of requests are refused.
            await node.ready(CONNECTED_SECONDS)
        await server.start()
        scheme = "https" if tls else "http"
        log.info("listening on %s://%s: %s", scheme, authority(host, port), _urls(channels))

    await node.serve(lambda: server.drain(grace), start)


def create_app(node: WebhookNode, channels: Mapping[str, Channel]) -> Sanic[Any, Any]:
    """Return the Sanic application; the caller starts and stops the node."""

    urls = {f"{channel.connector.mounted_at()}/": name for name, channel in channels.items()}
    longest_first = sorted(urls, key=len, reverse=True)

    def channel_of(path: str) -> str:
        path = f"{path}/"
        return next((urls[url] for url in longest_first if path.startswith(url)), "")

    app = new_app("rasa-channel-bridge", MAX_BODY, channel_of)
    intake = guard(app)

    @app.get("/")
    async def hello(_: Request) -> HTTPResponse:
        return text_response(f"Hello from rasa-channel-bridge: {bridge.__version__}")

    @app.get("/readyz")
    async def ready(_: Request) -> HTTPResponse:
        if not health.process.is_ready():  # why is in the log, as on the metrics port
            return json_response({"status": "not ready"}, status=503)
        return json_response({"status": "ok"})

    @app.exception(SanicException)
    async def refused(request: Request, error: SanicException) -> HTTPResponse:
        status = getattr(error, "status_code", 500)
        most = intake.limit_of(request.path)
        message = f"the body is larger than {most} bytes" if status == 413 else str(error)
        if status == 404:
            message = "unknown URL"
        return json_response(
            {"error": message}, status=status, headers=getattr(error, "headers", None)
        )

    @app.exception(BridgeError)
    async def failed(request: Request, error: BridgeError) -> HTTPResponse:
        return error_response(error)

    def answered(path: str, status: int) -> None:
        metrics.requests_rejected.labels(channel_of(path), status).inc()

    intake.answered = answered
    app.ctx.agent = AbsentAgent()
    for channel in channels.values():
        connector = channel.connector
        intake.limit(f"{connector.mounted_at()}/", connector.max_body)
        app.blueprint(connector.blueprint(node.inbox), url_prefix=connector.mounted_at() or None)
    return app


def _urls(channels: Mapping[str, Channel]) -> str:
    return ", ".join(channel.connector.served_at() for channel in channels.values())
