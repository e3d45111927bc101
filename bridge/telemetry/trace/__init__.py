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
from contextvars import Token
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import BrokerError, DeliveryError, MessageTooLarge
from bridge.messages import DeadLetter, InboundMessage, Reply, trace_id
from bridge.telemetry import durations
from bridge.telemetry.calls import Answer, current_answer
from bridge.telemetry.trace.hop import Hop, Kind, failed
from bridge.telemetry.trace.recorder import OPEN, process_hops
from bridge.telemetry.trace.records import Called, Enqueued, Turned

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


def note(
    kind: Kind,
    message: InboundMessage | Reply,
    *,
    at: float = 0.0,
    attempt: int = 0,
    seconds: float = 0.0,
    what: str = "",
    status: int = 0,
    provider_id: str = "",
) -> None:
    """Record a hop of a message, which happens now or at `at`; the others are fields of `Hop`."""
    if not process_hops.is_on:
        return
    if type(message) is InboundMessage:
        conversation, id, reply = message.sender_id, message.id, ""
    else:
        assert isinstance(message, Reply)
        conversation, id, reply = message.recipient_id, message.in_reply_to, message.id
    process_hops.add(
        Hop(
            kind,
            at or time.time(),
            message.channel,
            conversation,
            id,
            reply,
            attempt,
            seconds,
            what,
            status,
            provider_id,
        )
    )


def turn(message: InboundMessage, seconds: float, replies: int) -> None:
    """Record that a turn, which took `seconds` and sent so many replies, has ended."""
    if not process_hops.is_on:
        return
    now, record = time.time(), process_hops.turned_by(message)
    if record is not None and not record.turned:
        record.turned, record.seconds, record.replies = now, seconds, replies
    else:
        ids = message.channel, message.sender_id, message.id
        process_hops.add(Hop("turn", now, *ids, seconds=seconds, replies=replies))


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
    hops = _Enqueuing(message) if process_hops.is_on else nullcontext(message)
    return _spans.enqueuing(message, hops) if _spans else hops


def sending(message: Reply) -> AbstractContextManager[Reply]:
    """Yield the reply to send in the block, which carries the context of its span."""
    return _spans.sending(message) if _spans else nullcontext(message)


def attempt(message: InboundMessage | Reply, number: int) -> AbstractContextManager[None]:
    """Record an attempt, and its end if the block, which makes it, raises."""
    hops = _Attempt(message, number, time.time()) if process_hops.is_on else _NOTHING
    return _spans.attempt(message, number, hops) if _spans else hops


def exemplar(message: InboundMessage | Reply) -> dict[str, str] | None:
    """Return the trace of a message that has no span yet, for an exemplar of a histogram."""
    id = trace_id(message.traceparent) if _spans else None
    return {"trace_id": id} if id else None


def call(sent: Reply) -> AbstractContextManager[object]:
    """Record one call to a service, which the block makes."""
    hops = _Call(sent, time.time(), Answer()) if process_hops.is_on else _NOTHING
    return _spans.call(sent, hops) if _spans else hops


class _Enqueuing(msgspec.Struct, gc=False):
    message: InboundMessage
    record: Enqueued | None = None
    beside: list[Enqueued] | None = None
    """The list with the record: the recorder has another one when the record is written."""

    def __enter__(self) -> InboundMessage:
        message = self.message
        # While RabbitMQ is away, senders try again and again. That must leave room for other hops.
        if not process_hops.is_crowded:
            ids = message.channel, message.sender_id, message.id
            self.record = Enqueued(*ids, message.received_at)
            self.beside = process_hops.enqueued
            self.beside.append(self.record)
        return message

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        record = self.record
        if kind is None:
            if record is not None and self.beside is process_hops.enqueued:
                record.confirmed = time.time()
                return
            if record is None:
                note("accepted", self.message, at=self.message.received_at)
            note("confirmed", self.message)
        elif isinstance(error, Exception):
            if record is None:
                process_hops.drop(2)
            else:
                note("refused", self.message, what=kind.__name__)


class _Attempt(msgspec.Struct, gc=False):
    message: InboundMessage | Reply
    number: int
    started: float

    def __enter__(self) -> None:
        message = self.message
        channel, id = message.channel, message.id
        if type(message) is InboundMessage:
            turned = process_hops.turned
            if id in turned or len(turned) >= OPEN:
                process_hops.close_records()
            turned[id] = Turned(channel, message.sender_id, id, self.number, self.started)
        else:
            assert isinstance(message, Reply)
            called, to, of = process_hops.called, message.recipient_id, message.in_reply_to
            if id in called or len(called) >= OPEN:
                process_hops.close_records()
            called[id] = Called(channel, to, of, id, self.number, self.started)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        if kind is None or error is None:
            return
        is_failure = failed(error) and not isinstance(error, BrokerError)
        note(
            "failed" if is_failure or isinstance(error, MessageTooLarge) else "held",
            self.message,
            what=kind.__name__,
            attempt=self.number,
            seconds=time.time() - self.started,
            status=error.status if isinstance(error, DeliveryError) else 0,
        )


class _Call(msgspec.Struct, gc=False):
    sent: Reply
    started: float
    answer: Answer
    token: Token[Answer | None] | None = None

    def __enter__(self) -> None:
        self.answer = current_answer.get() or self.answer  # that of a span
        self.token = current_answer.set(self.answer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        assert self.token is not None
        current_answer.reset(self.token)
        now, sent, answer = time.time(), self.sent, self.answer
        seconds, what = now - self.started, kind.__name__ if kind else ""
        record = process_hops.called_for(sent)
        if record is not None and not record.called:
            record.called, record.seconds, record.what = now, seconds, what
            record.status, record.provider_id = answer.status, answer.provider_id
        else:
            note(
                "call",
                sent,
                at=now,
                seconds=seconds,
                what=what,
                status=answer.status,
                provider_id=answer.provider_id,
            )


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
