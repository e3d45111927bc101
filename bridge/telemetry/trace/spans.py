"""The hops as OpenTelemetry spans. The only user of opentelemetry.

One trace leads from the `traceparent` of the webhook's request over the queues to the call:

    send <ns>.inbound → process <ns>.inbound → send <ns>.replies → process <ns>.replies → call

Names and attributes are those of the semantic conventions for messaging
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/). No span holds a text.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from msgspec.structs import replace
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bridge.errors import DeliveryError
from bridge.messages import InboundMessage, Reply
from bridge.telemetry.trace.hop import Answer

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
FAREWELL = 1.0
"""Seconds that the export of the last spans of a process may take."""
KNOWN = 10_000
"""Messages whose latest attempt a process remembers, to link the next one to it."""

_w3c = TraceContextTextMapPropagator()


def provider(process: str) -> Any:
    """Return the program's tracer provider; make one that exports over OTLP if it has none.

    Raises:
        ImportError: the exporter is not installed.
    """
    current = otel.get_tracer_provider()
    if not isinstance(current, otel.ProxyTracerProvider):
        return current  # `opentelemetry-instrument`, or the user's program, has configured it
    role = process.partition(" ")[0]
    service = os.environ.get("OTEL_SERVICE_NAME") or f"rasa-bridge-{role}"
    resource = Resource.create({"service.name": service, "service.instance.id": process})
    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(import_module(EXPORTER).OTLPSpanExporter()))
    otel.set_tracer_provider(made)
    atexit.register(_end, made)
    return made


def _end(made: TracerProvider) -> None:
    """Export the last spans, without waiting for a collector that is away, as the SDK would."""
    ending = threading.Thread(target=made.shutdown, name="spans", daemon=True)
    ending.start()
    ending.join(FAREWELL)


class Spans:
    """Makes the spans of one process."""

    def __init__(self, tracer_provider: Any, namespace: str) -> None:
        self._tracer = tracer_provider.get_tracer("rasa-channel-bridge")
        self._namespace = namespace
        self._attempts: OrderedDict[tuple[str, ...], SpanContext] = OrderedDict()

    @contextmanager
    def enqueuing(self, message: InboundMessage) -> Iterator[InboundMessage]:
        """Yield the message with the context of the span that sends it."""
        parent = _context(message)
        with self._span("send", SpanKind.PRODUCER, message, parent) as span:
            yield replace(message, **_carried(span))

    @contextmanager
    def sending(self, reply: Reply) -> Iterator[Reply]:
        """Yield the reply with the context of the span that sends it."""
        running = otel.get_current_span().get_span_context().is_valid
        parent = None if running else _context(reply)
        with self._span("send", SpanKind.PRODUCER, reply, parent) as span:
            yield replace(reply, **_carried(span))

    @contextmanager
    def attempt(self, message: InboundMessage | Reply, number: int) -> Iterator[None]:
        """Make the span of an attempt; one that runs again is linked to the one before."""
        key = (message.flow, message.channel, message.conversation, message.id)
        parent = _context(message)
        before = self._attempts.get(key)
        sent = otel.get_current_span(parent).get_span_context()
        links = [Link(before)] if before is not None else []
        if before is None and message.redelivered and sent.is_valid:
            links = [Link(sent, {"rasa_bridge.redelivered": True})]
        with self._span("process", SpanKind.CONSUMER, message, parent, links) as span:
            span.set_attribute("rasa_bridge.attempt", number)
            self._attempts[key] = span.get_span_context()
            self._attempts.move_to_end(key)
            if len(self._attempts) > KNOWN:
                self._attempts.popitem(last=False)
            yield

    @contextmanager
    def call(self, reply: Reply, answer: Answer | None) -> Iterator[None]:
        """Make the span of one call to a service; `answer` has its status afterwards."""
        attributes = {"rasa_bridge.channel": reply.channel, "messaging.message.id": reply.id}
        started = self._tracer.start_as_current_span(
            f"call {reply.channel}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as span, _failing(span):
            if answer is not None:
                answer.status = 0
            try:
                yield
            finally:
                if answer is not None and answer.status:
                    span.set_attribute("http.response.status_code", answer.status)

    @contextmanager
    def _span(
        self,
        operation: str,
        kind: SpanKind,
        message: InboundMessage | Reply,
        parent: Context | None,
        links: list[Link] | None = None,
    ) -> Iterator[Span]:
        destination = f"{self._namespace}.{message.flow}"
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": destination,
            "messaging.message.id": message.id,
            "messaging.message.conversation_id": message.conversation,
            "rasa_bridge.channel": message.channel,
        }
        started = self._tracer.start_as_current_span(
            f"{operation} {destination}",
            context=parent,
            kind=kind,
            attributes=attributes,
            links=links or [],
            # The text of an error may quote a user.
            record_exception=False,
            set_status_on_exception=False,
        )
        with started as span, _failing(span):
            yield span


@contextmanager
def _failing(span: Span) -> Iterator[None]:
    """Note the class of an error that leaves the block."""
    try:
        yield
    except BaseException as error:
        if getattr(error, "is_failure", True):
            span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", type(error).__name__)
        if isinstance(error, DeliveryError) and error.status:
            span.set_attribute("http.response.status_code", error.status)
        raise


def exemplar() -> dict[str, str] | None:
    """Return the ids of the current span, if it is recorded, for an exemplar of a histogram."""
    context = otel.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def is_configured() -> bool:
    """Return whether this process has a tracer provider already."""
    return not isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider)


def _context(message: InboundMessage | Reply) -> Context:
    """Return the trace context of a message; an empty one if it has none, or it is malformed."""
    carrier = {"traceparent": message.traceparent} if message.traceparent else {}
    if carrier and message.tracestate:
        carrier["tracestate"] = message.tracestate
    return _w3c.extract(carrier, Context())


def _carried(span: Span) -> dict[str, str | None]:
    """Return the fields of a message that carry the context of a span."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, otel.set_span_in_context(span))
    return {"traceparent": carrier["traceparent"], "tracestate": carrier.get("tracestate")}
