"""The monitor role: a web page with live queue data and dead letters, and /metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.response import HTTPResponse, json as json_response, raw

from bridge.broker.topology import Topology
from bridge.broker.url import safe_url
from bridge.errors import BridgeError, RequestRejected
from bridge.http.client import HttpClient
from bridge.http.server import HttpServer, new_app
from bridge.messages import UNREADABLE
from bridge.monitor import control_api, dead_api, trace_api
from bridge.monitor.access import SESSION_SECONDS, AccessControl
from bridge.monitor.dead_passes import DeadLetters, Passes
from bridge.monitor.feed import Feed
from bridge.monitor.management import TIMEOUT, Management
from bridge.monitor.observer import Observer
from bridge.monitor.watch import Watch
from bridge.runtime.role import process_name, serve
from bridge.settings.files import BrokerSettings
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

PASS_ENDS = 15.0
"""Seconds for a pass over dead letters to end in order."""
GRACE = 5.0
"""Seconds for open requests to finish; an interrupted replay can be run again."""
MAX_BODY = 64 * 1024
COOKIE = "rasa_bridge_monitor"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE_FILES = {path.name: path for path in (Path(__file__).parent / "page").iterdir()}
"""Name → static file. They contain no data, so they need no token."""
HEALTH = "alive"
OPEN = (HEALTH, "page", "asset", "login")
"""Handlers that need no token: they show no data. Every other URL needs it, known or not."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
        " object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Login(msgspec.Struct):
    token: str


async def serve_monitor(
    broker: BrokerSettings,
    topology: Topology,
    management_url: str | None,
    access: AccessControl,
    host: str,
    port: int,
) -> None:
    """Serve until a signal arrives, with or without a broker.

    `management_url` None means the default URL of the broker's management API.

    Raises:
        SettingsError: the address is in use, or does not belong to this machine.
    """
    feed = Feed()
    http = HttpClient(timeout=TIMEOUT)
    management = Management(http, management_url, broker.url)
    letters, passes = DeadLetters(broker), Passes()
    observer = Observer(
        broker.url,
        topology,
        management,
        changed=feed.events.changed,
        reads_dead=lambda: passes.are_running,
    )
    app = create_app(access, feed, topology.namespace)
    app.blueprint(dead_api.blueprint(letters, passes))
    app.blueprint(trace_api.blueprint(broker))
    app.blueprint(control_api.blueprint(broker, topology, observer.look_again))
    server = await HttpServer.prepare(app, host, port, "--port or --host")

    async def start() -> None:
        await server.start()
        shown = f"[{host}]" if ":" in host else host
        log.info("monitoring %s on http://%s:%d/", safe_url(broker.url), shown, port)

    async def drain() -> None:
        feed.close()
        letters.stop()
        await passes.end(PASS_ENDS)
        await server.drain(GRACE)

    name = process_name("monitor")
    link = Watch(broker.url, name, observer, feed.snapshot, feed.lost, feed.resized)
    async with http:
        await serve([link], drain, start, problem=lambda: link.problem)


def create_app(access: AccessControl, feed: Feed, namespace: str) -> Sanic[Any, Any]:
    app = new_app("rasa-channel-bridge-monitor", MAX_BODY)
    _guard(app, access)
    _answer_errors(app)

    @app.get("/")
    async def page(request: Request) -> HTTPResponse:
        try:
            _check_user(access, request)
        except RequestRejected:
            return _file("login.html")
        return _file("index.html")

    @app.get("/page/<name>")
    async def asset(_: Request, name: str) -> HTTPResponse:
        if name not in PAGE_FILES:
            raise RequestRejected(404, "no such file")
        return _file(name)

    @app.post("/login")
    async def login(request: Request) -> HTTPResponse:
        try:
            token = msgspec.json.decode(request.body, type=Login).token
        except UNREADABLE:
            raise RequestRejected(400, 'send {"token": "…"}') from None
        access.check_token(token, request.ip)
        secure = "; Secure" if request.headers.get("x-forwarded-proto") == "https" else ""
        cookie = f"{COOKIE}={access.session()}; Path=/; Max-Age={SESSION_SECONDS:.0f}"
        return json_response(
            {}, headers={"Set-Cookie": f"{cookie}; HttpOnly; SameSite=Strict{secure}"}
        )

    @app.get("/api/stream")
    async def stream(request: Request) -> None:
        with feed.opened() as events:
            unbuffered = {"X-Accel-Buffering": "no"}  # nginx would hold events back
            response = await request.respond(content_type="text/event-stream", headers=unbuffered)
            while (event := await events.get()) is not None:
                await response.send(event)
            await response.eof()

    @app.get("/api/events")
    async def events(request: Request) -> HTTPResponse:
        if request.args.get("namespace", namespace) != namespace:
            raise RequestRejected(404, f"this monitor watches the namespace '{namespace}'")
        return raw(msgspec.json.encode(feed.events.all), content_type="application/json")

    @app.get("/metrics")
    async def exposition(_: Request) -> HTTPResponse:
        text, content_type = metrics.exposition()
        return raw(text, content_type=content_type)

    return app


def _guard(app: Sanic[Any, Any], access: AccessControl) -> None:
    """Check every request except /healthz, and add security headers to every response."""

    async def check(request: Request) -> None:
        handler = request.route.name.rpartition(".")[2] if request.route else ""
        # Sanic answers for a head that it refuses with a request that has none.
        if handler == HEALTH or not request.head:
            return
        host = request.headers.get("host", "")
        access.check_host(host)
        if request.method not in ("GET", "HEAD"):
            headers = request.headers
            access.check_change(host, headers.get("origin", ""), headers.get("content-type", ""))
        if handler not in OPEN:
            _check_user(access, request)

    async def add_headers(_: Request, response: Any) -> None:
        response.headers.update(HEADERS)

    app.register_middleware(check, "request")
    app.register_middleware(add_headers, "response")


def _check_user(access: AccessControl, request: Request) -> None:
    authorization = request.headers.get("authorization", "")
    access.check_user(authorization, _session(request.headers.get("cookie", "")), request.ip)


def _session(cookies: str) -> str:
    """Return the session of a Cookie header. Python's parser raises for names of other sites."""
    pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def _answer_errors(app: Sanic[Any, Any]) -> None:
    @app.exception(SanicException)
    async def refused(_: Request, error: SanicException) -> HTTPResponse:
        status = getattr(error, "status_code", 500)
        return json_response({"error": str(error)}, status=status)

    @app.exception(BridgeError)
    async def failed(_: Request, error: BridgeError) -> HTTPResponse:
        status = error.status if isinstance(error, RequestRejected) else 503
        return json_response({"error": str(error)}, status=status)


def _file(name: str) -> HTTPResponse:
    path = PAGE_FILES[name]
    return raw(path.read_bytes(), content_type=TYPES[path.suffix])
