"""Google Chat's events, parsed into messages; `events.py` has their shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bridge.connectors.base import Connector
from bridge.connectors.hangouts.cards import PAYLOAD
from bridge.connectors.hangouts.events import Attachment, Event, Message, event_of
from bridge.connectors.toolkit.events import UNKNOWN, compact
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request, sender_id: str) -> list[InboundMessage]:
    """Return the messages of an event, or [] for an event without text.

    An app that is added by a mention gets two: that it was added, and what was said.
    `sender_id` is the user's field that identifies the conversation: `displayName` or `name`.

    Raises:
        RequestRejected: 400 or 415, it is not an event, or the user lacks that field.
    """
    expect_json(request)
    event = event_of(request)
    said = [(id, text) for id, text in utterances(connector, event) if text and text.strip()]
    if not said:
        return []
    user = event.sender
    sender = user and (user.name if sender_id == "name" else user.displayName)
    if not sender:
        raise RequestRejected(400, f"the user has no '{sender_id}'")
    return [
        connector.message(request, id=id, sender_id=sender, text=text, metadata=metadata_of(event))
        for id, text in said
    ]


def utterances(connector: Connector, event: Event) -> Iterator[tuple[str | None, str | None]]:
    """Yield the id and the text of what an event says; count an event that says nothing."""
    message, at = event.message, id_of(event)
    if event.type == "ADDED_TO_SPACE":
        yield at, "/room_added" if event.space.room else "/user_added"
        if message is not None:
            yield message.name, _said(connector, event, message)
    elif event.type == "MESSAGE":
        if message is None:
            connector.ignore("empty")
        else:
            yield message.name, _said(connector, event, message)
    elif event.type == "REMOVED_FROM_SPACE":
        yield at, "/bot_removed"
    elif event.type == "CARD_CLICKED":
        yield at, _pressed(connector, event)
    elif event.type == "APP_COMMAND":
        command = event.appCommandMetadata
        is_action = command is not None and command.appCommandType == "MESSAGE_ACTION"
        typed = message.name if message is not None and not is_action else None
        yield typed or at, _command(connector, event)
    else:
        connector.ignore(event.type)


def _said(connector: Connector, event: Event, message: Message) -> str | None:
    """Return the text without the app's own name, or else the first file."""
    argument, files = message.argumentText, message.attachment or []
    named = message.names_a_bot or (argument is not None and not argument.strip())
    # Of a slash command, the argument lacks the command, which is no name.
    named = named and message.slashCommand is None
    text = (argument if named and argument is not None else message.text) or ""
    if text.strip():
        # Chat also sends what people say among themselves, if it has a link that the app previews.
        if message.matchedUrl and event.space.room and text == argument == message.text:
            connector.ignore("link_preview")
            return None
        return text.strip() if named else text
    if files:
        return _where(files[0])
    gif = next((gif.uri for gif in message.attachedGifs or [] if gif.uri), None)
    if gif:
        return gif
    connector.ignore("bare_mention" if message.text else "empty")
    return None


def _where(file: Attachment) -> str | None:
    return file.downloadUri or file.contentName or file.name


def _pressed(connector: Connector, event: Event) -> str | None:
    """Return the payload of a pressed button: of ours, or the function that another one names."""
    common = event.common
    given = (common and common.parameters) or {}
    parameters = {key: value for key, value in given.items() if isinstance(value, str)}
    method = event.action and event.action.actionMethodName
    function = common and common.invokedFunction
    # An add-on's function is the app's URL.
    named = function if function and not function.startswith(("http://", "https://")) else None
    text = parameters.get(PAYLOAD) or method or named or next(iter(parameters.values()), None)
    if not text:
        connector.ignore("empty")
    return text


def _command(connector: Connector, event: Event) -> str | None:
    """Return the text of a slash command, or an intent that names a quick command."""
    message, command = event.message, event.appCommandMetadata
    # The message of a message action is another one, to which the command is applied.
    is_typed = command is None or command.appCommandType != "MESSAGE_ACTION"
    if is_typed and message is not None and (message.text or "").strip():
        return message.text
    if command is None or command.appCommandId is None:
        connector.ignore(UNKNOWN)
        return None
    return f"/app_command{json.dumps({'id': str(command.appCommandId)})}"


def id_of(event: Event) -> str | None:
    """Return the type, place, user and time of an event that is not a message."""
    user = event.user.name if event.user else None
    where = (event.message.name if event.message else None) or event.space.name
    return f"{event.type}:{where}:{user}:{event.eventTime}" if event.eventTime and where else None


def metadata_of(event: Event) -> dict[str, Any]:
    """Return Rasa's `room`, and further metadata for custom actions."""
    user, message, common = event.sender, event.message, event.common
    command = event.appCommandMetadata
    known = {
        "space": event.space.name,
        "space_type": event.space.type or event.space.spaceType,
        "user": user and user.name,
        "user_display_name": user and user.displayName,
        "user_email": user and user.email,
        "message": message and message.name,
        "thread": message and message.thread and message.thread.name,
        "argument_text": message and message.argumentText,
        "attachments": message and [_about(file) for file in message.attachment or []],
        "parameters": common and common.parameters,
        "form_inputs": common and common.formInputs,
        "app_command_id": command and command.appCommandId,
    }
    return {"room": event.space.room, **{key: value for key, value in known.items() if value}}


def _about(file: Attachment) -> dict[str, Any]:
    return compact(
        name=file.name,
        content_name=file.contentName,
        content_type=file.contentType,
        download_uri=file.downloadUri,
        drive_data_ref=file.driveDataRef,
    )
