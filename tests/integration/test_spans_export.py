"""Spans leave a real process over OTLP, and a collector that is away delays nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bridge.http.client import HttpClient
from tests.support.broker import free_port
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PROMPT = 20.0
"""Seconds: a process that waits for the collector takes longer."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector: its URL, and the bodies that it has received."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


async def started(project: Project, port: int, url: str) -> Process:
    """Start a webhook that exports to a collector, and post a message to it."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    webhook = project.bridge("webhook", "-i", "127.0.0.1", "-p", str(port), env=variables)
    await webhook.prints("ready to publish")
    await webhook.prints("listening on")
    body = {"sender": "ada", "message": "hello"}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    async with HttpClient() as http:
        address = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        await http.post_json(address, body, headers=headers)
    return webhook


async def test_a_process_that_ends_exports_its_last_spans(
    project: Project, service: FakeService, port: int, collector: tuple[str, list[bytes]]
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    url, bodies = collector
    webhook = await started(project, port, url)
    webhook.terminate()
    assert await webhook.ends() == 0
    await eventually(lambda: any(bytes.fromhex(TRACE) in body for body in bodies))
    assert any(b"rasa-bridge-webhook" in body for body in bodies)
    assert not any(b"hello" in body for body in bodies)


async def test_a_collector_that_is_away_delays_nothing(
    project: Project, service: FakeService, port: int
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    webhook = await started(project, port, f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    webhook.terminate()
    assert await webhook.ends() == 0
    assert time.monotonic() - began < PROMPT
