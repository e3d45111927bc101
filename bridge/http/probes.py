"""The metrics port of a role: /metrics, /healthz and /readyz, served from threads.

Threads answer even while a turn blocks the event loop, and then /healthz says so.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import Thread, Timer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bridge.errors import SettingsError
from bridge.runtime import health
from bridge.telemetry import metrics

log = logging.getLogger(__name__)

SECONDS = 30.0
"""Seconds for which a connection may last; otherwise the thread of a slow client would stay."""
MOST = 32
"""Connections at a time: each takes two threads, and a container has a limit of those."""

Start = Callable[[str, list[tuple[str, str]]], Any]
"""`start_response` of WSGI (PEP 3333)."""
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


def serve(host: str, port: int | None) -> None:
    """Serve the probes and the metrics of this process. Without a port, nothing is served.

    Raises:
        SettingsError: the address is in use, or not an address of this host.
    """
    if port is None:
        return
    kind = _ServerV6 if ":" in host else _Server
    try:
        server = make_server(host, port, _application(), kind, handler_class=_Quiet)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} for metrics: {error.strerror}",
            fix="choose another address with --metrics-port or --metrics-host",
        ) from error
    Thread(target=server.serve_forever, name="probes", daemon=True).start()
    log.info("metrics on http://%s:%d/metrics", host, port)


def _application() -> Application:
    exposition: Application = metrics.wsgi_app()

    def answer(environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        path = environment.get("PATH_INFO")
        if path == "/healthz":
            return _probe("stalled" if health.process.stall else "ok", start)
        if path == "/readyz":
            return _probe("ok" if health.process.is_ready() else "not ready", start)
        return exposition(environment, start)

    return answer


def _probe(state: str, start: Start) -> Iterable[bytes]:
    # Why is in the log: it may name the broker, its users and ids of messages.
    status = "200 OK" if state == "ok" else "503 Service Unavailable"
    start(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{state}\n".encode()]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128
    """With Python's default of 5, a burst of connections waits for seconds."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: dict[Any, None] = {}

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection. The oldest one makes room: others must be answered."""
        connections = list(self._open)
        for oldest in connections[: max(0, len(connections) - MOST + 1)]:
            self._open.pop(oldest, None)
            _end(oldest)
        self._open[request] = None
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, for a limited time however slowly its client sends and reads."""
        ending = Timer(SECONDS, _end, [request])
        ending.daemon = True
        ending.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            ending.cancel()
            self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log no traceback for a client that has gone."""
        log.debug("a request on the metrics port failed", exc_info=True)


class _ServerV6(_Server):
    address_family = socket.AF_INET6


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log no request: a probe asks every few seconds."""
