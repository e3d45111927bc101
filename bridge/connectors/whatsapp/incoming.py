"""What the Cloud API posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes: https://developers.facebook.com/documentation/business-messaging/whatsapp (Webhooks,
messages); only the fields that are used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

log = logging.getLogger(__name__)


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
    """A quick reply of a template."""

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
    """A phone number; left out if the user has a username instead."""
    from_user_id: str | None = None
    """The user, as the business knows it, whatever the number is."""
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
class Said:
    id: str
    user: str
    phone: str | None
    text: str
    metadata: dict[str, Any]


def of_batch(batch: Batch, number: str) -> Iterator[Said]:
    """Yield what users say to a number, in order.

    Statuses, reactions, edits, groups, other numbers and what the API cannot show say nothing.
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
            log.warning("a message to another number than that of 'phone_number_id' is ignored")
            continue
        for message in value.messages or []:
            said = of_message(message, value.contacts or [])
            if said is not None:
                yield said


def of_message(message: Message, contacts: list[Contact]) -> Said | None:
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
    return Said(message.id, user, message.sender, text, known)


def _content(message: Message) -> tuple[str | None, dict[str, Any]]:
    """Return what a message says, and metadata of what it carries."""
    if message.text is not None:
        return message.text.body, {}
    if message.interactive is not None:
        return _answer(message.interactive)
    if message.button is not None:
        return message.button.payload or message.button.text, {"title": message.button.text}
    if message.location is not None:
        at = message.location
        said = f'{{"lng":{at.longitude}, "lat":{at.latitude}}}'
        return said, {"place": at.name, "address": at.address}
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
    """Return the phone number of a contact that is shared, or its name."""
    phones, name = contact.get("phones"), contact.get("name")
    first = phones[0] if isinstance(phones, list) and phones else None
    phone = first.get("phone") if isinstance(first, dict) else None
    said = phone or (name.get("formatted_name") if isinstance(name, dict) else None)
    return said if isinstance(said, str) else None
