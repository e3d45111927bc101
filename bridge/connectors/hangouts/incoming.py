"""Google Chat's events, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://developers.google.com/workspace/chat/api/reference/rest/v1/Event.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request, sender_id: str) -> list[InboundMessage]:
    """Return the message of an event, or [] for an event without text.

    `sender_id` is the user's field that identifies the conversation: `displayName` or `name`.

    Raises:
        RequestRejected: 400 or 415, it is not an event, or the user lacks that field.
    """
    expect_json(request)
    event = request.decode(Event)
    text = text_of(event)
    if text is None or not text.strip():
        return []
    user = event.sender
    sender = user and (user.name if sender_id == "name" else user.displayName)
    if not sender:
        raise RequestRejected(400, f"the user has no '{sender_id}'")
    return [
        connector.message(
            request,
            id=id_of(event),
            sender_id=sender,
            text=text,
            metadata=metadata_of(event),
        )
    ]


class User(Struct):
    name: str | None = None
    displayName: str | None = None
    email: str | None = None


class Space(Struct):
    name: str | None = None
    type: str | None = None
    displayName: str | None = None


class Thread(Struct):
    name: str | None = None


class Message(Struct):
    name: str | None = None
    sender: User | None = None
    text: str | None = None
    argumentText: str | None = None
    thread: Thread | None = None


class Action(Struct):
    actionMethodName: str | None = None


class Event(Struct):
    type: str
    space: Space
    eventTime: str | None = None
    user: User | None = None
    message: Message | None = None
    action: Action | None = None

    @property
    def sender(self) -> User | None:
        if self.type == "MESSAGE" and self.message and self.message.sender:
            return self.message.sender
        return self.user

    @property
    def room(self) -> str | None:
        return self.space.displayName if self.space.type == "ROOM" else None


def text_of(event: Event) -> str | None:
    """Return the text of an event, or None (a file without a text)."""
    if event.type == "MESSAGE":
        return event.message.text if event.message else None
    if event.type == "CARD_CLICKED":
        return event.action.actionMethodName if event.action else None
    if event.type == "ADDED_TO_SPACE":
        return "/room_added" if event.room else "/user_added"
    return "/bot_removed" if event.type == "REMOVED_FROM_SPACE" else None


def id_of(event: Event) -> str | None:
    """Return the message's name; for other events, their type, place, user and time."""
    message = event.message.name if event.message else None
    if event.type == "MESSAGE":
        return message
    user = event.user.name if event.user else None
    where = message or event.space.name
    return f"{event.type}:{where}:{user}:{event.eventTime}" if event.eventTime and where else None


def metadata_of(event: Event) -> dict[str, Any]:
    """Return Rasa's `room`, and further metadata for custom actions."""
    user, message = event.sender, event.message
    known = {
        "space": event.space.name,
        "space_type": event.space.type,
        "user": user and user.name,
        "user_display_name": user and user.displayName,
        "user_email": user and user.email,
        "message": message and message.name,
        "thread": message and message.thread and message.thread.name,
        "argument_text": message and message.argumentText,
    }
    return {"room": event.room, **{key: value for key, value in known.items() if value}}
