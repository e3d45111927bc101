"""Messenger's webhook events, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://developers.facebook.com/docs/messenger-platform/reference/webhook-events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.facebook.kinds import EVENTS
from bridge.connectors.meta.content import said_by_order
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.events import UNKNOWN, compact
from bridge.connectors.toolkit.receipts import Outcome
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request) -> list[InboundMessage]:
    """Return the messages of a batch of events, in order.

    Raises:
        RequestRejected: 400 or 415, it is not a batch of events.
    """
    expect_json(request)
    return [
        connector.message(
            request,
            id=utterance.id,
            sender_id=utterance.user,
            text=utterance.text,
            metadata=utterance.metadata,
        )
        for utterance in utterances(connector, request.decode(Batch))
    ]


class Id(Struct):
    id: str | None = None


class Replied(Struct):
    """What a message replies to: a message, or on Instagram a story."""

    mid: str | None = None
    story: Any = None


class Coordinates(Struct):
    lat: int | float
    long: int | float


class File(Struct):
    url: str | None = None
    title: str | None = None
    sticker_id: Any = None
    coordinates: Coordinates | None = None
    product: dict[str, Any] | None = None


class Attachment(Struct):
    type: str | None = None
    payload: File | None = None
    title: str | None = None
    url: str | None = None

    @property
    def where(self) -> str | None:
        """The URL of a file, or of a link (`fallback`)."""
        return (self.payload and self.payload.url) or self.url

    @property
    def said(self) -> str | None:
        """What the attachment says without a text."""
        if self.payload and self.payload.coordinates:
            at = self.payload.coordinates
            return f'{{"lng":{at.long}, "lat":{at.lat}}}'
        if self.payload and self.payload.product:
            return json.dumps(self.payload.product)
        return self.where or (self.payload and self.payload.title) or self.title


class QuickReply(Struct):
    payload: str | None = None


class Message(Struct):
    mid: str | None = None
    text: str | None = None
    is_echo: bool = False
    quick_reply: QuickReply | None = None
    attachments: list[Attachment] | None = None
    reply_to: Replied | None = None
    referral: dict[str, Any] | None = None


class Postback(Struct):
    mid: str | None = None
    payload: str | None = None
    title: str | None = None
    referral: dict[str, Any] | None = None


class Reported(Struct):
    """What became of messages: those that it names, and all up to its watermark."""

    mids: list[str] | None = None
    mid: str | None = None
    """Instagram names the message that was read."""
    watermark: Any = None
    """Unix time in milliseconds."""


class Event(Struct):
    """A message, a postback, a receipt, or an event that says nothing (reaction, …)."""

    sender: Id | None = None
    recipient: Id | None = None
    timestamp: int | None = None
    message: Message | None = None
    postback: Postback | None = None
    order: dict[str, Any] | None = None
    """A cart; an event on its own."""
    delivery: Reported | None = None
    read: Reported | None = None


class Entry(Struct):
    """The events of a page; they are decoded one by one."""

    messaging: list[Any] | None = None
    standby: list[Any] | None = None
    changes: list[Any] | None = None


class Batch(Struct):
    entry: list[Entry]


@dataclass(frozen=True)
class Utterance:
    id: str | None
    user: str
    text: str
    metadata: dict[str, Any]


def utterances(connector: Connector, batch: Batch) -> Iterator[Utterance]:
    """Yield the users' utterances, in order; count all other events."""
    for entry in batch.entry:
        for kind, others in (("standby", entry.standby), ("changes", entry.changes)):
            for _ in others or []:
                connector.ignore(kind)
        for given in entry.messaging or []:
            event = connector.shaped(given, Event)
            utterance = utterance_of(connector, event, given) if event else None
            if utterance is not None:
                yield utterance


def utterance_of(connector: Connector, event: Event, given: Any) -> Utterance | None:
    """Return the utterance of an event, or count what it is and return None.

    `given` is the same event as plain JSON.
    """
    user = event.sender.id if event.sender else None
    if event.message is not None:
        text, mid, metadata = _message(event.message)
    elif event.postback is not None:
        text, mid, metadata = _postback(event.postback)
    elif event.order is not None:
        text, mid, metadata = said_by_order(event.order), None, {"order": event.order}
    else:
        _count(connector, event, given)
        return None
    if event.message is not None and event.message.is_echo:
        connector.ignore("echo")
        return None
    if not user or not text or not text.strip():
        connector.ignore("empty" if user else "no_sender")
        return None
    metadata |= {"page_id": event.recipient.id if event.recipient else None}
    return Utterance(
        # Postbacks have an id since v11 of the API, carts have none.
        id=mid or (f"{user}:{event.timestamp}" if event.timestamp is not None else None),
        user=user,
        text=text,
        metadata={key: value for key, value in metadata.items() if value is not None},
    )


def _count(connector: Connector, event: Event, given: Any) -> None:
    """Count an event that says nothing, or what it tells of sent messages."""
    if event.delivery is not None:
        _report(connector, "delivered", event, event.delivery)
    elif event.read is not None:
        _report(connector, "read", event, event.read)
    else:
        connector.ignore(next((kind for kind in EVENTS if kind in given), UNKNOWN))


def _report(connector: Connector, outcome: Outcome, event: Event, reported: Reported) -> None:
    """Count a report once for each message that it names, or else once; tell its watermark."""
    at = receipts.unix_time(event.timestamp, unit=0.001)
    until = receipts.unix_time(reported.watermark, unit=0.001)
    user = event.sender.id if event.sender else None
    named = [mid for mid in (*(reported.mids or ()), reported.mid) if mid]
    for mid in named:
        receipts.count(connector.channel, outcome, mid, at=at)
    if until is None or not user:
        if not named:
            receipts.count(connector.channel, outcome, at=at)
        return
    conversation = f"{connector.conversation_prefix}{user}"[: receipts.MOST_ID]
    receipts.cover(connector.channel, outcome, conversation, until, at, is_counted=not named)


def _message(message: Message) -> tuple[str | None, str | None, dict[str, Any]]:
    """Return text, id and metadata.

    As in Rasa, the text is a quick reply's payload, else the text, else a file's URL.
    """
    attachments = message.attachments or []
    files = [_about(file) for file in attachments if file.where]
    payload = message.quick_reply.payload if message.quick_reply else None
    said = next(filter(None, (file.said for file in attachments)), None)
    text = payload or message.text or said
    metadata: dict[str, Any] = {
        "mid": message.mid,
        "title": message.text if payload else None,
        "reply_to": message.reply_to.mid if message.reply_to else None,
        "story": message.reply_to.story if message.reply_to else None,
        "attachments": files or None,
        "referral": message.referral,
    }
    return text, message.mid, metadata


def _about(file: Attachment) -> dict[str, Any]:
    about = {"type": file.type, "url": file.where}
    return about | compact(sticker_id=file.payload and file.payload.sticker_id)


def _postback(postback: Postback) -> tuple[str | None, str | None, dict[str, Any]]:
    metadata: dict[str, Any] = {
        "mid": postback.mid,
        "title": postback.title,
        "referral": postback.referral,
    }
    return postback.payload, postback.mid, metadata
