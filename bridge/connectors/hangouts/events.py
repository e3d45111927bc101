"""Google Chat's events in both formats: those of Chat apps, and those of Workspace add-ons.

An add-on's event is translated into a Chat app's. The structs list only the fields in use, and
msgspec refuses wrong types. Their sources:
https://developers.google.com/workspace/chat/api/reference/rest/v1/Event and
https://developers.google.com/workspace/add-ons/concepts/event-objects#chat-event-object.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from bridge.connectors.toolkit.request import Request


class User(Struct):
    name: str | None = None
    displayName: str | None = None
    email: str | None = None
    type: str | None = None


class Space(Struct):
    name: str | None = None
    type: str | None = None
    displayName: str | None = None
    spaceType: str | None = None

    @property
    def room(self) -> str | None:
        """The name of a room; None in a direct message."""
        is_room = self.type == "ROOM" or (self.type is None and self.spaceType == "SPACE")
        return self.displayName if is_room else None


class Thread(Struct):
    name: str | None = None


class UserMention(Struct):
    user: User | None = None


class Annotation(Struct):
    type: str | None = None
    userMention: UserMention | None = None


class Attachment(Struct):
    name: str | None = None
    contentName: str | None = None
    contentType: str | None = None
    downloadUri: str | None = None
    driveDataRef: dict[str, Any] | None = None


class Gif(Struct):
    uri: str | None = None


class Message(Struct):
    name: str | None = None
    sender: User | None = None
    text: str | None = None
    argumentText: str | None = None
    thread: Thread | None = None
    space: Space | None = None
    annotations: list[Annotation] | None = None
    attachment: list[Attachment] | None = None
    attachedGifs: list[Gif] | None = None
    slashCommand: dict[str, Any] | None = None
    matchedUrl: dict[str, Any] | None = None

    @property
    def names_a_bot(self) -> bool:
        mentions = [a.userMention for a in self.annotations or [] if a.userMention]
        return any(mention.user and mention.user.type == "BOT" for mention in mentions)


class Action(Struct):
    actionMethodName: str | None = None


class Common(Struct):
    invokedFunction: str | None = None
    parameters: dict[str, Any] | None = None
    formInputs: dict[str, Any] | None = None
    userLocale: str | None = None


class Command(Struct):
    appCommandId: int | str | None = None
    appCommandType: str | None = None


class Event(Struct):
    type: str
    space: Space = field(default_factory=Space)
    eventTime: str | None = None
    user: User | None = None
    message: Message | None = None
    action: Action | None = None
    common: Common | None = None
    appCommandMetadata: Command | None = None

    @property
    def sender(self) -> User | None:
        if self.type == "MESSAGE" and self.message and self.message.sender:
            return self.message.sender
        return self.user


class Payload(Struct):
    """What happened; an add-on's event has one of them."""

    space: Space | None = None
    message: Message | None = None
    appCommandMetadata: Command | None = None


class Chat(Struct):
    user: User | None = None
    eventTime: str | None = None
    messagePayload: Payload | None = None
    addedToSpacePayload: Payload | None = None
    removedFromSpacePayload: Payload | None = None
    buttonClickedPayload: Payload | None = None
    appCommandPayload: Payload | None = None
    widgetUpdatedPayload: Payload | None = None


class AddOnEvent(Struct):
    chat: Chat
    common: Common | None = field(default=None, name="commonEventObject")


class Format(Struct):
    """Tells the two formats apart."""

    type: str | None = None
    chat: Any = None


TYPES = {
    "messagePayload": "MESSAGE",
    "addedToSpacePayload": "ADDED_TO_SPACE",
    "removedFromSpacePayload": "REMOVED_FROM_SPACE",
    "buttonClickedPayload": "CARD_CLICKED",
    "appCommandPayload": "APP_COMMAND",
    "widgetUpdatedPayload": "WIDGET_UPDATED",
}
"""Payload of an add-on's event → type of a Chat app's."""


def is_of_add_on(request: Request) -> bool:
    """Return whether a request is an add-on's event.

    Raises:
        RequestRejected: 400, it is not an event.
    """
    given = request.decode(Format)
    return given.type is None and given.chat is not None


def event_of(request: Request) -> Event:
    """Return the event of a request, in the format of Chat apps.

    Raises:
        RequestRejected: 400, it is not an event.
    """
    if not is_of_add_on(request):
        return request.decode(Event)
    given = request.decode(AddOnEvent)
    kind = next((name for name in TYPES if getattr(given.chat, name) is not None), "")
    payload: Payload = getattr(given.chat, kind, None) or Payload()
    message = payload.message
    return Event(
        type=TYPES.get(kind, ""),
        space=payload.space or (message and message.space) or Space(),
        eventTime=given.chat.eventTime,
        user=given.chat.user,
        message=message,
        common=given.common,
        appCommandMetadata=payload.appCommandMetadata,
    )
