"""Notes and receipts: what was sent, and what its service reports of it later. No I/O.

A note is written by `deliver` when a service has accepted a call, a receipt by the webhook. Both
are joined by the service's id of the message (`provider_id`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from bridge.errors import MessageError
from bridge.messages.numbers import Time
from bridge.messages.wire import SCHEMA_VERSION, UNREADABLE, Reply

Outcome = Literal["sent", "delivered", "read", "failed"]

RECEIPT = "receipt:"
"""Begins the id of an inbound message that tells the assistant of a receipt."""


class Note(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that a service has accepted."""

    provider_id: str
    """The service's id of the message."""
    conversation: str
    reply_id: str
    in_reply_to: str
    """Id of the inbound message."""
    sent_at: Time
    """Unix time in seconds at which the call began: the service's clock of the message is later."""
    reply: Reply | None = None
    """The part of the reply that was sent; None once its outcome is final."""


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a service reports of one message."""

    provider_id: str
    """The service's id of the message; "" if the report names none."""
    outcome: Outcome
    at: float
    """Unix time in seconds: the service's, or when the receipt arrived if it has none."""
    code: str | None = None
    """The service's error code of a failure."""
    conversation: str = ""
    until: float | None = None
    """A watermark: the outcome is that of all messages of the conversation up to this Unix time.
    It names none of them."""


class ReceiptBatch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message on the receipt queue of a channel."""

    notes: list[Note] = []
    receipts: list[Receipt] = []
    v: int = SCHEMA_VERSION


class ReportedReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """One receipt in a published report. All ids of the reply are null if it is unknown."""

    provider_id: str
    at: float
    code: str | None
    reply_id: str | None
    in_reply_to: str | None
    conversation: str | None
    sent_at: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What is published on `<namespace>.receipts`, for other systems."""

    channel: str
    outcome: Outcome
    receipts: list[ReportedReceipt]
    v: int = SCHEMA_VERSION


_encoder = msgspec.json.Encoder()
_batches = msgspec.json.Decoder(ReceiptBatch)


def encode_item(item: Note | Receipt) -> bytes:
    """Return one item of a batch as JSON.

    Raises:
        MessageError: the content of a reply cannot be written as JSON.
    """
    try:
        return _encoder.encode(item)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"the note cannot be written as JSON: {error}") from error


def batch_of(field: Literal["notes", "receipts"], items: Iterable[bytes]) -> bytes:
    """Return the body of a batch of encoded items."""
    return b'{"%s":[%s],"v":%d}' % (field.encode(), b",".join(items), SCHEMA_VERSION)


def decode_batch(body: bytes) -> ReceiptBatch:
    """Return the batch in a JSON body.

    Raises:
        MessageError: the body is not a batch, or has a later schema version.
    """
    try:
        batch = _batches.decode(body)
    except UNREADABLE as error:
        raise MessageError(f"not a valid batch of receipts: {error}") from error
    if batch.v > SCHEMA_VERSION:
        raise MessageError(f"batch of receipts has schema version {batch.v}")
    return batch


def report_of(channel: str, outcome: Outcome, told: Sequence[tuple[Receipt, Note | None]]) -> bytes:
    """Return the body of a report of receipts with one outcome."""
    receipts = [
        ReportedReceipt(
            provider_id=receipt.provider_id,
            at=receipt.at,
            code=receipt.code,
            reply_id=note.reply_id if note else None,
            in_reply_to=note.in_reply_to if note else None,
            conversation=note.conversation if note else None,
            sent_at=note.sent_at if note else None,
        )
        for receipt, note in told
    ]
    return _encoder.encode(Report(channel=channel, outcome=outcome, receipts=receipts))


def intent_text(intent: str, receipt: Receipt, note: Note) -> str:
    """Return the text of a message that tells the assistant of a receipt: `/intent{…}`."""
    about = {"reply_id": note.reply_id, "outcome": receipt.outcome, "code": receipt.code}
    return f"/{intent.removeprefix('/')}{json.dumps(about)}"
