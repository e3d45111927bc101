"""Spans leave a real process over OTLP, and a collector that is away delays nothing."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiohttp import web

from bridge.http.client import HttpClient
from tests.support.broker import free_port
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
ExportTraceServiceRequest: Any = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2"
).ExportTraceServiceRequest

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
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
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
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


def spans_of(bodies: list[bytes]) -> list[tuple[str, Any]]:
    """Return (service, span) of everything that was exported."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    found = []
    for exported in (resource for request in requests for resource in request.resource_spans):
        names = {a.key: a.value.string_value for a in exported.resource.attributes}
        for scope in exported.scope_spans:
            found += [(names["service.name"], span) for span in scope.spans]
    return found


async def test_one_trace_leads_through_three_processes_and_links_what_ran_again(
    project: Project, service: FakeService, port: int, collector: tuple[str, list[bytes]]
) -> None:
    url, bodies = collector
    statuses = [503]
    service.answer = lambda _: web.json_response({}, status=statuses.pop() if statuses else 200)
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("echo.py", ECHO)
    webhook = await started(project, port, url)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_COMPRESSION": "none"}
    worker = project.bridge("worker", "--handler", "echo:handle", env=env)
    deliver = project.bridge("deliver", env=env)
    await eventually(lambda: len(service.accepted) == 1)
    for process in (webhook, worker, deliver):
        process.terminate()
        assert await process.ends() == 0

    ours = [(by, span) for by, span in spans_of(bodies) if span.trace_id == bytes.fromhex(TRACE)]
    ns = project.namespace
    assert sorted((by, span.name) for by, span in ours) == [
        ("rasa-bridge-deliver", "call callback"),
        ("rasa-bridge-deliver", "call callback"),
        ("rasa-bridge-deliver", f"process {ns}.replies"),
        ("rasa-bridge-deliver", f"process {ns}.replies"),
        ("rasa-bridge-webhook", f"send {ns}.inbound"),
        ("rasa-bridge-worker", f"process {ns}.inbound"),
        ("rasa-bridge-worker", f"send {ns}.replies"),
    ]
    by_name: dict[str, list[Any]] = defaultdict(list)
    for _, span in sorted(ours, key=lambda each: each[1].start_time_unix_nano):
        by_name[span.name].append(span)
    (sent,), (turn,) = by_name[f"send {ns}.inbound"], by_name[f"process {ns}.inbound"]
    (reply,), (first, second) = by_name[f"send {ns}.replies"], by_name[f"process {ns}.replies"]
    calls = by_name["call callback"]
    assert sent.parent_span_id == bytes.fromhex(PARENT)
    assert (turn.parent_span_id, reply.parent_span_id) == (sent.span_id, turn.span_id)
    assert [first.parent_span_id, second.parent_span_id] == [reply.span_id] * 2
    assert [call.parent_span_id for call in calls] == [first.span_id, second.span_id]
    assert [link.span_id for link in second.links] == [first.span_id]


async def test_a_collector_that_is_away_delays_nothing(
    project: Project, service: FakeService, port: int
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    webhook = await started(project, port, f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    webhook.terminate()
    assert await webhook.ends() == 0
    assert time.monotonic() - began < PROMPT
