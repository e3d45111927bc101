"""The hops of a message, as the code reports them: one line where something happens.

Each function returns at once, and does nothing unless hops are recorded (`recorder`).
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from time import time
from typing import TYPE_CHECKING

from bridge.messages import DeadLetter, InboundMessage, Reply, trace_id
from bridge.telemetry import durations
from bridge.telemetry.trace.hop import Answer, Hop
from bridge.telemetry.trace.notes import failed as failed, note as note
from bridge.telemetry.trace.recorder import OPEN, process_hops
from bridge.telemetry.trace.records import Enqueued
from bridge.telemetry.trace.rows import (
    CALL_SETTLED,
    CALLED,
    CHANNEL,
    CONVERSATION,
    ERROR,
    FIRST,
    KIND,
    REPLIED,
    REPLIES,
    TURN_SECONDS,
    TURN_SETTLED,
    TURNED,
    called_row,
    turned_row,
)

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
    now, row = time(), process_hops.turned.get(message.id)
    if (
        row is not None
        and row[CONVERSATION] == message.sender_id
        and row[CHANNEL] == message.channel
        and not row[TURNED]
    ):
        row[TURNED], row[TURN_SECONDS], row[REPLIES], row[ERROR] = now, seconds, replies, error
    else:
        ids = message.channel, message.sender_id, message.id
        process_hops.add(Hop("turn", now, *ids, "", 0, seconds, error, replies=replies))


def settled(message: InboundMessage | Reply, outcome: str) -> None:
    """Record that a message, or reply, needs no further attempt."""
    if not process_hops.is_on:
        return
    if type(message) is InboundMessage:
        row, conversation = process_hops.turned.get(message.id), message.sender_id
        at = TURN_SETTLED
    else:
        assert type(message) is Reply
        row, conversation = process_hops.called.get(message.id), message.recipient_id
        at = CALL_SETTLED
    if (
        row is not None
        and row[CONVERSATION] == conversation
        and row[CHANNEL] == message.channel
        and not row[at]
    ):
        row[at], row[at + 1] = time(), outcome
    else:
        note("settled", message, what=outcome)


Accepted = tuple[Enqueued, list[Enqueued]]
"""The record of a message that is not confirmed yet, and the recorder's list with it: the recorder
has another one once the record is written."""


def accepted(message: InboundMessage) -> Accepted | None:
    """Record that a message was accepted. Return what `confirmed` or `refused` needs."""
    if not process_hops.is_on:
        return None
    records = process_hops.enqueued
    # While RabbitMQ is away, senders try again and again. That must leave room for other hops.
    if process_hops.room - len(records) <= process_hops.reserved:
        return None
    record = Enqueued(message.channel, message.sender_id, message.id, message.received_at)
    records.append(record)
    return record, records


def confirmed(message: InboundMessage, before: Accepted | None, at: float) -> None:
    """Record that the broker confirmed a message `at` a Unix time; `accepted` returned `before`."""
    if before is not None:
        record, records = before
        if records is process_hops.enqueued:
            record.confirmed = at
            return
    else:
        note("accepted", message, at=message.received_at)
    note("confirmed", message, at=at)


def refused(message: InboundMessage, before: Accepted | None, error: Exception) -> None:
    """Record that a message was not enqueued; `accepted` returned `before`."""
    if before is not None:
        note("refused", message, what=type(error).__name__)
    elif process_hops.is_on:
        process_hops.drop(2)


def enqueuing(message: InboundMessage) -> AbstractContextManager[InboundMessage]:
    """Yield the message to enqueue in the block, which carries the context of its span."""
    return _spans.enqueuing(message) if _spans else nullcontext(message)


def has_spans() -> bool:
    """Whether spans are made: most messages need no block that makes them."""
    return _spans is not None


def sending(message: Reply) -> AbstractContextManager[Reply]:
    """Yield the reply to send in the block, which carries the context of its span."""
    return _spans.sending(message) if _spans else nullcontext(message)


def begin(message: InboundMessage | Reply, number: int) -> float:
    """Record that an attempt begins. Return when it does (Unix time); 0 if nothing is recorded."""
    if not process_hops.is_on:
        return 0.0
    id, now = message.id, time()
    if type(message) is InboundMessage:
        turned = process_hops.turned
        if id in turned or len(turned) >= OPEN:
            process_hops.close_records()
            turned = process_hops.turned
        turned[id] = turned_row(message.channel, message.sender_id, id, number, now)
    else:
        assert type(message) is Reply
        called = process_hops.called
        if id in called or len(called) >= OPEN:
            process_hops.close_records()
            called = process_hops.called
        to, of = message.recipient_id, message.in_reply_to
        called[id] = called_row(message.channel, to, of, id, number, now)
    return now


def attempt(message: InboundMessage | Reply, number: int) -> AbstractContextManager[None]:
    """Make the span of an attempt, which the block makes; `begin` and `failed` record the hops."""
    return _spans.attempt(message, number) if _spans else _NOTHING


def exemplar(message: InboundMessage | Reply) -> dict[str, str] | None:
    """Return the trace of a message that has no span yet, for an exemplar of a histogram."""
    id = trace_id(message.traceparent) if _spans else None
    return {"trace_id": id} if id else None


def call(sent: Reply, answer: Answer | None = None) -> AbstractContextManager[None]:
    """Make the span of one call to a service, which the block makes; `called` records the hop."""
    return _spans.call(sent, answer) if _spans else _NOTHING


def called(
    sent: Reply,
    at: float,
    seconds: float,
    error: type[BaseException] | None = None,
    answer: Answer | None = None,
) -> None:
    """Record a call to a service, which took `seconds`, and ended `at` a Unix time.

    Clears `answer`: the next call of the attempt may have none.
    """
    if not process_hops.is_on:
        return
    row = process_hops.called.get(sent.id)
    what = error.__name__ if error is not None else ""
    status, provider_id = 0, ""
    if answer is not None:
        status, provider_id = answer.status, answer.provider_id
        answer.status, answer.provider_id = 0, ""
    if (
        row is not None
        and row[CONVERSATION] == sent.recipient_id
        and row[CHANNEL] == sent.channel
        and not row[CALLED]
    ):
        row[CALLED:] = at, seconds, what, status, provider_id
    else:
        note(
            "call",
            sent,
            at=at,
            seconds=seconds,
            what=what,
            status=status,
            provider_id=provider_id,
        )


def reply(sent: Reply) -> None:
    """Record that a reply is confirmed on its queue, or on that of the request that waits."""
    if not process_hops.is_on:
        return
    what = f"{sent.kind} for a request" if sent.ticket else sent.kind
    row = process_hops.turned.get(sent.in_reply_to)
    if (
        row is not None
        and row[CONVERSATION] == sent.recipient_id
        and row[CHANNEL] == sent.channel
        and not row[REPLIED]
    ):
        row[REPLIED], row[KIND], row[FIRST] = time(), what, sent.id
    else:
        note("reply", sent, what=what)


def dead(message: InboundMessage | Reply | None, letter: DeadLetter) -> None:
    """Record that a message was dead-lettered. An undecodable one (None) has no hops."""
    if message is not None:
        what = f"{letter.reason}, {letter.error_class}"
        note("dead", message, what=what, attempt=letter.attempts, status=letter.status)
