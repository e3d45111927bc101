"""Webex's webhooks, and the fetched resources that are parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their sources:
https://developer.webex.com/docs/receive-and-verify-webhooks, …/docs/api/v1/messages and
…/docs/buttons-and-cards.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any, TypeVar

from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.fetch import not_accepted
from bridge.connectors.toolkit.request import Request, decode_json
from bridge.errors import RequestRejected
from bridge.http.client import Response
from bridge.messages import InboundMessage

T = TypeVar("T")


MENTION = re.compile(
    r"<spark-mention\b[^<>]*\bdata-object-id=[\"']([^\"'<>]*)[\"'][^<>]*>([^<>]*)</spark-mention>"
)
"""A mention in a message's HTML: the id of the person, and the name as it is in the text."""


def parse(connector: Connector, request: Request, bot: Bot) -> list[InboundMessage]:
    """Return the message of a fetched resource, or [] if it says nothing or is the bot's own.

    The body of `request` is the resource.

    Raises:
        RequestRejected: 400, it is not a resource of Webex.
    """
    found = request.decode(Resource)
    if found.personId == bot.id:
        connector.ignore("own_message")
        return []
    text = text_of(found, bot)
    if not text:
        connector.ignore("bare_mention" if found.text else "empty")
        return []
    metadata = {
        "person_id": found.personId,
        "person_email": found.personEmail,
        "room_type": found.roomType,
        "message_id": found.messageId or found.id,
        "parent_id": found.parentId,
        "files": found.files,
        "inputs": found.inputs,
    }
    return [
        connector.message(
            request,
            id=found.id,
            sender_id=found.roomId,
            text=text,
            metadata={key: value for key, value in metadata.items() if value},
            route={"parentId": found.parentId} if found.parentId else {},
        )
    ]


def text_of(found: Resource, bot: Bot) -> str | None:
    """Return the text without the bot's name, else the URL of the first file.

    A submitted card says its payload, else its JSON.
    """
    if found.inputs is not None:
        payload = found.inputs.get("payload")
        return payload if isinstance(payload, str) and payload.strip() else _json(found.inputs)
    return without_mentions(found, bot) or next(iter(found.files or []), None)


def _json(inputs: dict[str, Any]) -> str | None:
    return json.dumps(inputs) if inputs else None


def without_mentions(found: Resource, bot: Bot) -> str:
    """Return the text without the bot's name: in rooms, a bot hears only what mentions it."""
    text = found.text or ""
    mentions = MENTION.findall(found.html or "")
    names = [name for id, name in mentions if id == bot.id]
    if not names and bot.id in (found.mentionedPeople or []):
        names = [mentions[0][1] if len(mentions) == 1 else bot.displayName or ""]
    for name in names:
        text = text.replace(html.unescape(name), "", 1)
    return re.sub(r" {2,}", " ", text).strip() if names else text.strip() and text


class Bot(Struct):
    """The bot's own account, as /people/me returns it."""

    id: str | None = None
    displayName: str | None = None


class Data(Struct):
    id: str | None = None
    personId: str | None = None


class Event(Struct):
    """A webhook: it names a resource but does not contain it."""

    resource: str | None = None
    event: str | None = None
    data: Data | None = None


class Resource(Struct):
    """A message, or the submission of a card (with `inputs`)."""

    id: str
    roomId: str
    personId: str | None = None
    personEmail: str | None = None
    roomType: str | None = None
    parentId: str | None = None
    messageId: str | None = None
    text: str | None = None
    html: str | None = None
    mentionedPeople: list[str] | None = None
    files: list[str] | None = None
    inputs: dict[str, Any] | None = None


def decoded(response: Response, shape: type[T]) -> T:
    """Return a response of Webex as a struct.

    Raises:
        RequestRejected: 503, it does not have this shape.
    """
    try:
        return decode_json(response.body, shape)
    except RequestRejected as error:
        raise not_accepted(f"Webex: {error}") from error
