"""The hops as spans: one trace from the request to the call, through the real parts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import generate_latest

from bridge.broker.topology import Topology
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import RetryableDeliveryError
from bridge.messages import InboundMessage, Reply, as_redelivered, decode, trace_context
from bridge.processing.processor import Processor
from bridge.runtime import work
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import durations, trace
from bridge.telemetry.trace import spans as spans_module
from bridge.telemetry.trace.spans import Spans
from bridge.webhook.collect import ReplyCollector
from bridge.webhook.inbox import QueueInbox
from tests.support.fakes import FakePublisher, a_delivery, a_reply, an_inbound, quiet
from tests.support.waiting import eventually
from worker.handler import Turns
from worker.output_channel import QueueOutput

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = f"00-{TRACE}-00f067aa0ba902b7-01"
AT_ONCE = RetryPolicy(base=0.001, cap=0.002)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_spans", Spans(provider, "bridge"))
    monkeypatch.setattr(durations, "current_exemplar", spans_module.exemplar)
    yield exporter
    provider.shutdown()


class Service:
    """A connector of a service that fails as often as the test says."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    def unprefixed(self, reply: Reply) -> Reply:
        return reply

    def split(self, reply: Reply) -> list[Reply]:
        return [reply]

    async def deliver(self, reply: Reply, http: Any) -> None:
        self.failures -= 1
        work.answered(503 if self.failures >= 0 else 200)
        if self.failures >= 0:
            error = RetryableDeliveryError("a secret text")
            error.status = 503
            raise error


async def echo(message: InboundMessage, output: Any) -> None:
    await output.send_text_message(message.sender_id, message.text)


async def run(message: InboundMessage, service: Any) -> tuple[InboundMessage, Reply]:
    """Take a message through webhook, worker and deliver; return what was on the queues."""
    publisher = FakePublisher()
    inbox = QueueInbox(publisher.queues(), ReplyCollector("amqp://nowhere", "test", Topology()))
    await inbox.enqueue(message)
    queued = decode(publisher.published[0].body, InboundMessage)
    turns = Turns(echo, publisher.queues(), QueueOutput)
    worker = Processor(InboundMessage, turns.run, publisher.queues(), concurrency=1).open()
    worker.admit(a_delivery(queued))
    await quiet()
    reply = decode(publisher.published[1].body, Reply)
    dispatcher = Dispatcher(service, service, CircuitBreaker("callback"))
    deliver = Processor(
        Reply, dispatcher.deliver, publisher.queues(), concurrency=1, policy=AT_ONCE
    ).open()
    deliver.admit(a_delivery(reply))
    await eventually(lambda: not deliver.lanes())
    headers = [published.properties["headers"]["traceparent"] for published in publisher.published]
    assert headers == [queued.traceparent, reply.traceparent]
    return queued, reply


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_one_trace_leads_from_the_request_to_the_call(exported: InMemorySpanExporter) -> None:
    queued, reply = await run(an_inbound("m1", traceparent=REQUEST), Service())
    spans = by_name(exported)
    path = [
        *("send bridge.inbound", "process bridge.inbound"),
        *("send bridge.replies", "process bridge.replies", "call callback"),
    ]
    assert sorted(spans) == sorted(path)
    parent = int(REQUEST.split("-")[2], 16)
    for name in path:
        (span,) = spans[name]
        assert f"{span.context.trace_id:032x}" == TRACE
        assert span.parent is not None
        assert span.parent.span_id == parent
        parent = span.context.span_id
    kinds = [spans[name][0].kind for name in path]
    assert kinds == [*(SpanKind.PRODUCER, SpanKind.CONSUMER) * 2, SpanKind.CLIENT]
    assert queued.traceparent == f"00-{TRACE}-{spans[path[0]][0].context.span_id:016x}-01"
    assert reply.traceparent == f"00-{TRACE}-{spans[path[2]][0].context.span_id:016x}-01"


async def test_the_state_of_a_trace_is_passed_on(exported: InMemorySpanExporter) -> None:
    request = trace_context({"traceparent": REQUEST, "tracestate": "vendor=a1,other=b2"})
    queued, reply = await run(an_inbound("m1", **request), Service())
    assert queued.tracestate == reply.tracestate == "vendor=a1,other=b2"
    for spans in by_name(exported).values():
        assert spans[0].context.trace_state.to_header() == "vendor=a1,other=b2"


@pytest.mark.parametrize("state", [None, "", "vendor=\udc80", "v=" + "x" * 511])
def test_a_state_that_cannot_be_passed_on_is_left_out(state: str | None) -> None:
    headers = {"traceparent": REQUEST} | ({} if state is None else {"tracestate": state})
    assert trace_context(headers) == {"traceparent": REQUEST}
    assert trace_context({"tracestate": "vendor=a1"}) == {}


async def test_spans_follow_the_messaging_conventions_and_hold_no_text(
    exported: InMemorySpanExporter,
) -> None:
    await run(an_inbound("m1", text="a secret text"), Service(failures=1))
    spans = by_name(exported)
    (consumer,) = spans["process bridge.inbound"]
    assert facts(consumer) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "bridge.inbound",
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "ada",
        "rasa_bridge.channel": "callback",
        "rasa_bridge.attempt": 1,
    }
    failed, accepted = spans["call callback"]
    assert facts(failed)["error.type"] == "RetryableDeliveryError"
    assert facts(failed)["http.response.status_code"] == 503
    assert not failed.status.is_ok
    assert facts(accepted)["http.response.status_code"] == 200
    assert "secret" not in "".join(span.to_json() for span in exported.get_finished_spans())


async def test_an_attempt_is_linked_to_the_one_before(exported: InMemorySpanExporter) -> None:
    await run(an_inbound("m1"), Service(failures=1))
    first, second = by_name(exported)["process bridge.replies"]
    assert first.links == ()
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert second.context.trace_id == first.context.trace_id


async def test_a_redelivered_message_is_linked_to_what_sent_it(
    exported: InMemorySpanExporter,
) -> None:
    with trace.attempt(as_redelivered(a_reply(traceparent=REQUEST)), 1):
        pass
    (span,) = exported.get_finished_spans()
    assert [f"{link.context.span_id:016x}" for link in span.links] == [REQUEST.split("-")[2]]
    assert dict(span.links[0].attributes or {}) == {"rasa_bridge.redelivered": True}


@pytest.mark.parametrize("header", [None, "", "nonsense", "00-0-0-00"])
async def test_without_a_valid_traceparent_a_trace_begins(
    exported: InMemorySpanExporter, header: str | None
) -> None:
    queued, reply = await run(an_inbound("m1", traceparent=header), Service())
    (first,) = by_name(exported)["send bridge.inbound"]
    assert first.parent is None
    assert queued.traceparent is not None
    assert reply.traceparent is not None
    assert queued.traceparent.split("-")[1] == reply.traceparent.split("-")[1]


async def test_latencies_have_exemplars(exported: InMemorySpanExporter) -> None:
    await run(an_inbound("m1", traceparent=REQUEST), Service())
    text: str = generate_latest(REGISTRY).decode()  # type: ignore[no-untyped-call]
    for name in ("acknowledgement", "turn", "delivery", "queueing"):
        lines = [line for line in text.splitlines() if f"rasa_bridge_{name}_seconds_bucket" in line]
        assert any(f'trace_id="{TRACE}"' in line for line in lines), name


def test_without_configuration_nothing_is_imported() -> None:
    code = (
        "import sys; from bridge.telemetry import trace; trace.start_spans('worker 1', 'b');"
        "print([name for name in sys.modules if 'opentelemetry' in name], trace._spans)"
    )
    environment = {"PATH": "", "OTEL_SDK_DISABLED": ""}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert ran.stdout.strip() == "[] None", ran.stderr


def test_a_missing_extra_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setitem(sys.modules, "bridge.telemetry.trace.spans", None)
    trace.start_spans("worker 1", "bridge")
    (record,) = caplog.records
    assert "pip install 'rasa-channel-bridge[otel]'" in record.getMessage()
