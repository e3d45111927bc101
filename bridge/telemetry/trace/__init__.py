"""The hops of a message, as the code reports them: one line where something happens.

Each function returns at once, and does nothing unless hops are recorded (`recorder`).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from bridge.messages import DeadLetter, InboundMessage, Reply, trace_id
from bridge.telemetry import durations
from bridge.telemetry.calls import Answer, Answering
from bridge.telemetry.trace.contexts import (
    AttemptedMessage,
    AttemptedReply,
    Call,
    Enqueuing,
    note as note,
)
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.recorder import OPEN, process_hops
from bridge.telemetry.trace.records import Called, Turned

if TYPE_CHECKING:
    from bridge.telemetry.trace.spans import Spans

log = logging.getLogger(__name__)

VARIABLES = (
    *("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
)
"""OpenTelemetry's variables, one of which switches spans on."""

_NOTHING = nullcontext()
_spans: Spans | None = None


def start_spans(process: str, namespace: str) -> None:
    """Make spans as well, if OpenTelemetry is configured: by its variables, or in this program."""
    global _spans
    values = [os.environ[name] for name in VARIABLES if os.environ.get(name)]
    is_wanted = bool(values) and "none" not in values
    is_loaded = "opentelemetry.sdk.trace" in sys.modules
    if os.environ.get("OTEL_SDK_DISABLED") == "true" or not (is_wanted or is_loaded):
        return
    try:
        spans = importlib.import_module("bridge.telemetry.trace.spans")
        if is_wanted or spans.is_configured():
            _spans = spans.Spans(spans.provider(process), namespace)
            durations.current_exemplar = spans.exemplar
    except ImportError as error:
        log.warning(
            "no spans: %s; run: pip install 'rasa-channel-bridge[otel]', or unset %s",
            error,
            ", ".join(name for name in VARIABLES if os.environ.get(name)),
        )


def turn(message: InboundMessage, seconds: float, replies: int, error: str = "") -> None:
    """Record that a turn, which took `seconds` and sent so many replies, has ended.

    `error` is what Rasa logged in it (`rasa_logs.said`).
    """
    if not process_hops.is_on:
        return
    now, record = time.time(), process_hops.turned_by(message)
    if record is not None and not record.turned:
        record.turned, record.seconds, record.replies = now, seconds, replies
        record.error = error
    else:
        ids = message.channel, message.sender_id, message.id
        process_hops.add(Hop("turn", now, *ids, "", 0, seconds, error, replies=replies))


def settled(message: InboundMessage | Reply, outcome: str) -> None:
    """Record that a message, or reply, needs no further attempt."""
    if not process_hops.is_on:
        return
    record: Turned | Called | None
    if type(message) is InboundMessage:
        record = process_hops.turned_by(message)
    else:
        assert isinstance(message, Reply)
        record = process_hops.called_for(message)
    if record is not None and not record.settled:
        record.settled, record.outcome = time.time(), outcome
    else:
        note("settled", message, what=outcome)


def enqueuing(message: InboundMessage) -> AbstractContextManager[InboundMessage]:
    """Record that a message was accepted, and how the block, which enqueues it, ends.

    Yields the message to enqueue, which carries the context of its span.
    """
    hops = Enqueuing(message) if process_hops.is_on else nullcontext(message)
    return _spans.enqueuing(message, hops) if _spans else hops


def has_spans() -> bool:
    """Whether spans are made: most messages need no block that makes them."""
    return _spans is not None


def sending(message: Reply) -> AbstractContextManager[Reply]:
    """Yield the reply to send in the block, which carries the context of its span."""
    return _spans.sending(message) if _spans else nullcontext(message)


def attempt(message: InboundMessage | Reply, number: int) -> AbstractContextManager[None]:
    """Record an attempt, and its end if the block, which makes it, raises."""
    hops: AbstractContextManager[None] = _NOTHING
    if process_hops.is_on:
        channel, id, now = message.channel, message.id, time.time()
        if type(message) is InboundMessage:
            hops = turned = AttemptedMessage(channel, message.sender_id, id, number, now)
            if id in process_hops.turned or len(process_hops.turned) >= OPEN:
                process_hops.close_records()
            process_hops.turned[id] = turned
        else:
            assert isinstance(message, Reply)
            to, of = message.recipient_id, message.in_reply_to
            hops = called = AttemptedReply(channel, to, of, id, number, now)
            if id in process_hops.called or len(process_hops.called) >= OPEN:
                process_hops.close_records()
            process_hops.called[id] = called
    return _spans.attempt(message, number, hops) if _spans else hops


def exemplar(message: InboundMessage | Reply) -> dict[str, str] | None:
    """Return the trace of a message that has no span yet, for an exemplar of a histogram."""
    id = trace_id(message.traceparent) if _spans else None
    return {"trace_id": id} if id else None


def call(sent: Reply) -> AbstractContextManager[object]:
    """Record one call to a service, which the block makes."""
    hops: AbstractContextManager[None] = _NOTHING
    if process_hops.is_on:
        record = process_hops.called_for(sent)
        if record is not None and record.called:
            record = None  # that of an earlier call
        answer: Answering = Answer() if record is None else record
        hops = Call(sent, time.time(), record, process_hops.called, answer)
    return _spans.call(sent, hops) if _spans else hops


def reply(sent: Reply) -> None:
    """Record that a reply is confirmed on its queue, or on that of the request that waits."""
    if not process_hops.is_on:
        return
    what = f"{sent.kind} for a request" if sent.ticket else sent.kind
    record = process_hops.turned.get(sent.in_reply_to)
    if (
        record is not None
        and not record.replied
        and record.conversation == sent.recipient_id
        and record.channel == sent.channel
    ):
        record.replied, record.what, record.first = time.time(), what, sent.id
    else:
        note("reply", sent, what=what)


def dead(message: InboundMessage | Reply | None, letter: DeadLetter) -> None:
    """Record that a message was dead-lettered. An undecodable one (None) has no hops."""
    if message is not None:
        what = f"{letter.reason}, {letter.error_class}"
        note("dead", message, what=what, attempt=letter.attempts, status=letter.status)
