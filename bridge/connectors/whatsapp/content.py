"""What a WhatsApp message says: its text for the assistant, and metadata about its content."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from bridge.connectors.meta.content import said_by_order
from bridge.connectors.toolkit.events import compact
from bridge.connectors.whatsapp.kinds import FILES


class Text(Struct):
    body: str | None = None


class Chosen(Struct):
    id: str | None = None
    title: str | None = None
    description: str | None = None


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
    url: str | None = None
    """Where the file is for some minutes, with the access token."""
    voice: bool | None = None
    """Whether an audio file is a recording of the user."""
    animated: bool | None = None
    """Of a sticker."""


class Location(Struct):
    latitude: float | int
    longitude: float | int
    name: str | None = None
    address: str | None = None
    url: str | None = None


class Context(Struct):
    """What a message refers to."""

    id: str | None = None
    referred_product: dict[str, Any] | None = None
    forwarded: bool | None = None
    frequently_forwarded: bool | None = None


class Content(Struct):
    """The fields of a message that say something; `type` names the one that is present."""

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
    order: dict[str, Any] | None = None


def content_of(message: Content) -> tuple[str | None, dict[str, Any]]:
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
        return text, {"place": at.name, "address": at.address, "url": at.url}
    if message.contacts:
        return _first_contact(message.contacts[0]), {"contacts": message.contacts}
    if message.order is not None:
        return said_by_order(message.order), {"order": message.order}
    for kind in FILES:
        media: Media | None = getattr(message, kind)
        if media is not None:
            about = {"type": kind, "id": media.id, "mime_type": media.mime_type}
            about |= compact(filename=media.filename, url=media.url)
            about |= compact(voice=media.voice, animated=media.animated)
            return media.caption or media.id, {"media": about}
    return None, {}


def _answer(interactive: Interactive) -> tuple[str | None, dict[str, Any]]:
    chosen = interactive.button_reply or interactive.list_reply
    if chosen is not None:
        about = {"title": chosen.title, "description": chosen.description}
        return chosen.id or chosen.title, about
    flow = interactive.nfm_reply
    return (flow.response_json, {"flow": flow.name}) if flow is not None else (None, {})


def _first_contact(contact: dict[str, Any]) -> str:
    """Return the phone number of a shared contact, else its name, else its JSON."""
    phones, name = contact.get("phones"), contact.get("name")
    first = phones[0] if isinstance(phones, list) and phones else None
    phone = first.get("phone") if isinstance(first, dict) else None
    text = phone or (name.get("formatted_name") if isinstance(name, dict) else None)
    return text if isinstance(text, str) and text.strip() else json.dumps(contact)
