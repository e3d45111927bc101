"""What begins and ends as a block of code, and the hops of both. `trace` has the functions."""

from __future__ import annotations

import time
from contextvars import Token

import msgspec

from bridge.errors import BrokerError, DeliveryError, MessageTooLarge
from bridge.messages import InboundMessage, Reply
from bridge.telemetry.calls import Answering, current_answer
from bridge.telemetry.trace.hop import Hop, Kind, failed as is_failed
from bridge.telemetry.trace.recorder import process_hops
from bridge.telemetry.trace.records import Enqueued
from bridge.telemetry.trace.rows import (
    CALL_SECONDS,
    CALLED,
    CHANNEL,
    CONVERSATION,
    PROVIDER_ID,
    STATUS,
    WHAT,
    Row,
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


class Enqueuing(msgspec.Struct, gc=False):
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


def failed(
    message: InboundMessage | Reply, number: int, began: float, error: BaseException
) -> None:
    """Record that an attempt, which began at that time (see `trace.begin`), ends with an error."""
    is_failure = is_failed(error) and not isinstance(error, BrokerError)
    now = time.time()
    note(
        "failed" if is_failure or isinstance(error, MessageTooLarge) else "held",
        message,
        at=now,
        attempt=number,
        seconds=now - began if began else 0.0,
        what=type(error).__name__,
        status=error.status if isinstance(error, DeliveryError) else 0,
    )


class Call(msgspec.Struct, gc=False):
    """One call; it is the answer to itself, too."""

    sent: Reply
    started: float
    called: dict[str, Row]
    """The records at its start: the recorder has others once they are written."""
    status: int = 0
    provider_id: str = ""
    answer: Answering | None = None
    """That of a span."""
    token: Token[Answering | None] | None = None

    def __enter__(self) -> None:
        self.answer = current_answer.get()
        self.token = current_answer.set(self.answer or self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        assert self.token is not None
        current_answer.reset(self.token)
        now, sent, answer = time.time(), self.sent, self.answer or self
        row = self.called.get(sent.id) if self.called is process_hops.called else None
        what = kind.__name__ if kind is not None else ""
        if (
            row is not None
            and row[CONVERSATION] == sent.recipient_id
            and row[CHANNEL] == sent.channel
            and not row[CALLED]
        ):
            row[CALLED], row[CALL_SECONDS], row[WHAT] = now, now - self.started, what
            row[STATUS], row[PROVIDER_ID] = answer.status, answer.provider_id
        else:
            note(
                "call",
                sent,
                at=now,
                seconds=now - self.started,
                what=what,
                status=answer.status,
                provider_id=answer.provider_id,
            )
