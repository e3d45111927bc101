"""Webex's webhooks, and the fetched resources that are parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their sources:
https://developer.webex.com/docs/receive-and-verify-webhooks, …/docs/api/v1/messages and
…/docs/buttons-and-cards.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.fetch import not_accepted
from bridge.connectors.toolkit.request import Request, decode_json
from bridge.errors import RequestRejected
from bridge.http.client import Response
from bridge.messages import InboundMessage

T = TypeVar("T")


def parse(connector: Connector, request: Request, own_id: str | None) -> list[InboundMessage]:
    """Return the message of a fetched resource, or [] if it has no text or is the bot's own.

    The body of `request` is the resource; `own_id` is the bot's person id.

    Raises:
        RequestRejected: 400, it is not a resource of Webex.
    """
    found = request.decode(Resource)
    text = found.text if found.inputs is None else found.inputs.get("payload")
    if not isinstance(text, str) or not text.strip() or found.personId == own_id:
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
