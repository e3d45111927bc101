"""What begins and ends as a block of code, and the hops of both. `trace` has the functions."""

from __future__ import annotations

import time
from contextvars import Token

import msgspec

from bridge.errors import BrokerError, DeliveryError, MessageTooLarge
from bridge.messages import InboundMessage, Reply
from bridge.telemetry.calls import Answering, current_answer
from bridge.telemetry.trace.hop import Hop, Kind, failed
from bridge.telemetry.trace.recorder import process_hops
from bridge.telemetry.trace.records import Called, Enqueued, Turned


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


class _Attempt:
    """Is the record of an attempt and its context, too: one object takes half the time of two."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        if error is not None:
            assert isinstance(self, (Turned, Called))
            _ended(self, error)


class AttemptedMessage(_Attempt, Turned):
    """The attempt of a worker at a message."""


class AttemptedReply(_Attempt, Called):
    """The attempt of `deliver` at a reply."""


def _ended(record: Turned | Called, error: BaseException) -> None:
    """Record that an attempt has ended with an error."""
    if not process_hops.is_on:
        return
    now, ids = time.time(), (record.channel, record.conversation, record.id, record.reply)
    is_failure = failed(error) and not isinstance(error, BrokerError)
    hop = Hop(
        "failed" if is_failure or isinstance(error, MessageTooLarge) else "held",
        now,
        *ids,
        attempt=record.attempt,
        seconds=now - record.began,
        what=type(error).__name__,
        status=error.status if isinstance(error, DeliveryError) else 0,
    )
    process_hops.add(hop)


class Call(msgspec.Struct, gc=False):
    sent: Reply
    started: float
    record: Called | None
    """The record of its attempt, if it has no call yet,"""
    beside: dict[str, Called]
    """and the dict with it: the recorder has another one when the record is written."""
    answer: Answering
    token: Token[Answering | None] | None = None

    def __enter__(self) -> None:
        self.answer = current_answer.get() or self.answer  # that of a span
        self.token = current_answer.set(self.answer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        assert self.token is not None
        current_answer.reset(self.token)
        now, record, answer = time.time(), self.record, self.answer
        if record is not None and self.beside is process_hops.called:
            record.called, record.seconds = now, now - self.started
            if kind is not None:
                record.what = kind.__name__
            if answer is not record:
                record.status, record.provider_id = answer.status, answer.provider_id
        else:
            note(
                "call",
                self.sent,
                at=now,
                seconds=now - self.started,
                what=kind.__name__ if kind else "",
                status=answer.status,
                provider_id=answer.provider_id,
            )
