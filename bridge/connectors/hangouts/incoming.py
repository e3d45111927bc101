"""What Google Chat posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes: https://developers.google.com/workspace/chat/api/reference/rest/v1/Event; only the
fields that are used.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct


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
    """Return what an event says; None if nothing, as a file without a text."""
    if event.type == "MESSAGE":
        return event.message.text if event.message else None
    if event.type == "CARD_CLICKED":
        return event.action.actionMethodName if event.action else None
    if event.type == "ADDED_TO_SPACE":
        return "/room_added" if event.room else "/user_added"
    return "/bot_removed" if event.type == "REMOVED_FROM_SPACE" else None


def id_of(event: Event) -> str | None:
    """Return the message's name, or of another event what, where, who and when it was."""
    message = event.message.name if event.message else None
    if event.type == "MESSAGE":
        return message
    user = event.user.name if event.user else None
    where = message or event.space.name
    return f"{event.type}:{where}:{user}:{event.eventTime}" if event.eventTime and where else None


def metadata_of(event: Event) -> dict[str, Any]:
    """Return Rasa's `room`, and what custom actions may need besides."""
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
