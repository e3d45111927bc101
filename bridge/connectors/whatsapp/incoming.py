"""The Cloud API's webhook events, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://developers.facebook.com/documentation/business-messaging/whatsapp (Webhooks, messages).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.messages import InboundMessage

log = logging.getLogger(__name__)


def parse(connector: Connector, request: Request, number: str) -> list[InboundMessage]:
    """Return the messages of a batch of events to one phone number (its id), in order.

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
            route={"to": utterance.phone} if utterance.phone else {},
        )
        for utterance in utterances(request.decode(Batch), number)
    ]


class Text(Struct):
    body: str | None = None


class Chosen(Struct):
    id: str | None = None
    title: str | None = None


class Flow(Struct):
    response_json: str | None = None
    name: str | None = None


class Interactive(Struct):
    button_reply: Chosen | None = None
    list_reply: Chosen | None = None
    nfm_reply: Flow | None = None


class Button(Struct):
    """A quick-reply button of a template."""

    payload: str | None = None
    text: str | None = None


class Media(Struct):
    id: str | None = None
    caption: str | None = None
    mime_type: str | None = None
    filename: str | None = None


class Location(Struct):
    latitude: float | int
    longitude: float | int
    name: str | None = None
    address: str | None = None


class Context(Struct):
    id: str | None = None


class Message(Struct):
    id: str
    sender: str | None = field(default=None, name="from")
    """A phone number; missing if the user has a username instead."""
    from_user_id: str | None = None
    """The user's id within the business, independent of the phone number."""
    group_id: str | None = None
    type: str | None = None
    text: Text | None = None
    interactive: Interactive | None = None
    button: Button | None = None
    image: Media | None = None
    video: Media | None = None
    audio: Media | None = None
    document: Media | None = None
    sticker: Media | None = None
    location: Location | None = None
    contacts: list[dict[str, Any]] | None = None
    context: Context | None = None
    referral: dict[str, Any] | None = None


class Profile(Struct):
    name: str | None = None
    username: str | None = None


class Contact(Struct):
    wa_id: str | None = None
    user_id: str | None = None
    profile: Profile | None = None


class Number(Struct):
    phone_number_id: str | None = None


class Error(Struct):
    code: int | None = None


class Status(Struct):
    status: str | None = None
    errors: list[Error] | None = None


class Value(Struct):
    metadata: Number | None = None
    contacts: list[Contact] | None = None
    messages: list[Message] | None = None
    statuses: list[Status] | None = None


class Change(Struct):
    field: str | None = None
    value: Value | None = None


class Entry(Struct):
    changes: list[Change]


class Batch(Struct):
    entry: list[Entry]


@dataclass(frozen=True)
class Utterance:
    id: str
    user: str
    phone: str | None
    text: str
    metadata: dict[str, Any]


def utterances(batch: Batch, number: str) -> Iterator[Utterance]:
    """Yield the users' utterances to a number, in order.

    Skip statuses, reactions, edits, groups, other numbers and message types unknown to the API.
    """
    for change in (change for entry in batch.entry for change in entry.changes):
        value = change.value
        if change.field != "messages" or value is None:
            continue
        for status in value.statuses or []:
            if status.status == "failed":
                codes = ", ".join(str(error.code) for error in status.errors or [])
                log.warning("WhatsApp did not deliver a message that it had accepted: %s", codes)
        if value.messages and (value.metadata or Number()).phone_number_id != number:
            log.warning("ignored a message to a number other than 'phone_number_id'")
            continue
        for message in value.messages or []:
            utterance = utterance_of(message, value.contacts or [])
            if utterance is not None:
                yield utterance


def utterance_of(message: Message, contacts: list[Contact]) -> Utterance | None:
    user = message.from_user_id or message.sender
    text, metadata = _content(message)
    if not user or not text or message.group_id:
        return None
    contact = next((c for c in contacts if user in (c.user_id, c.wa_id)), Contact())
    profile = contact.profile or Profile()
    metadata |= {
        "wamid": message.id,
        "phone": message.sender,
        "name": profile.name,
        "username": profile.username,
        "reply_to": message.context.id if message.context else None,
        "referral": message.referral,
    }
    known = {key: value for key, value in metadata.items() if value is not None}
    return Utterance(message.id, user, message.sender, text, known)


def _content(message: Message) -> tuple[str | None, dict[str, Any]]:
    """Return the text of a message, and metadata about its content."""
    if message.text is not None:
        return message.text.body, {}
    if message.interactive is not None:
        return _answer(message.interactive)
    if message.button is not None:
        return message.button.payload or message.button.text, {"title": message.button.text}
    if message.location is not None:
        at = message.location
        text = f'{{"lng":{at.longitude}, "lat":{at.latitude}}}'
        return text, {"place": at.name, "address": at.address}
    if message.contacts:
        return _first_contact(message.contacts[0]), {"contacts": message.contacts}
    for kind in ("image", "video", "audio", "document", "sticker"):
        media: Media | None = getattr(message, kind)
        if media is not None:
            about = {"type": kind, "id": media.id, "mime_type": media.mime_type}
            if media.filename:
                about["filename"] = media.filename
            return media.caption or media.id, {"media": about}
    return None, {}


def _answer(interactive: Interactive) -> tuple[str | None, dict[str, Any]]:
    chosen = interactive.button_reply or interactive.list_reply
    if chosen is not None:
        return chosen.id or chosen.title, {"title": chosen.title}
    flow = interactive.nfm_reply
    return (flow.response_json, {"flow": flow.name}) if flow is not None else (None, {})


def _first_contact(contact: dict[str, Any]) -> str | None:
    """Return the phone number of a shared contact, else its name, else None."""
    phones, name = contact.get("phones"), contact.get("name")
    first = phones[0] if isinstance(phones, list) and phones else None
    phone = first.get("phone") if isinstance(first, dict) else None
    text = phone or (name.get("formatted_name") if isinstance(name, dict) else None)
    return text if isinstance(text, str) else None
