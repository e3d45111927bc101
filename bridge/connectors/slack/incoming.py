"""Slack's requests, parsed into messages: events, interactions and slash commands.

The structs list only the fields in use, and msgspec refuses wrong types. Their sources:
https://docs.slack.dev/reference/events, …/interaction-payloads and
https://docs.slack.dev/interactivity/implementing-slash-commands.

A `response_url` is a secret: it is never put on the queue.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.slack.content import (
    Action,
    File,
    about,
    about_shared,
    forwarded,
    said_by,
    sanitized,
    selected,
    where,
)
from bridge.connectors.slack.kinds import DIRECT, SPOKEN
from bridge.connectors.toolkit.events import UNKNOWN, compact, converted
from bridge.connectors.toolkit.request import FORM, JSON, Request, decode_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

log = logging.getLogger(__name__)


def parse(
    connector: Connector,
    request: Request,
    own_channel: str | None,
    use_threads: bool,
    granularity: str,
) -> list[InboundMessage]:
    """Return the messages of a request.

    `own_channel`, `use_threads` and `granularity` are the keys `slack_channel`, `use_threads` and
    `conversation_granularity`.

    Raises:
        RequestRejected: 400 or 415, it is not a request of Slack.
    """
    return [
        _message(connector, request, utterance, use_threads, granularity)
        for utterance in _utterances(connector, request, own_channel)
    ]


@dataclass(frozen=True)
class Utterance:
    """One user's text, and where the user wrote it."""

    id: str | None
    user: str
    text: str
    channel: str | None
    thread: str | None
    users: list[str | None]
    """As in Rasa: for an event, the users that have installed the bot; else the user."""
    in_thread: bool = False
    """Whether the user sees only replies in the thread: in the assistant's pane, or below an
    ephemeral message of a thread."""
    ephemeral: bool = False
    """Whether it answers a message that only this user sees, in a channel that others read."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further metadata."""


class Event(Struct):
    """A message or a mention."""

    subtype: str | None = None
    text: str | None = None
    user: str | None = None
    bot_id: str | None = None
    channel: str | None = None
    channel_type: str | None = None
    ts: str | None = None
    thread_ts: str | None = None
    files: list[File] | None = None
    attachments: list[Any] | None = None


class Kind(Struct):
    type: str | None = None


class Authorization(Struct):
    user_id: str | None = None


class Envelope(Struct):
    challenge: str | None = None
    event_id: str | None = None
    event: Any = None
    """Decoded by its type: the same field has other types in other events."""
    authed_users: list[str | None] | None = None
    authorizations: list[Authorization] | None = None


class Id(Struct):
    id: str | None = None


class Message(Struct):
    ts: str | None = None
    thread_ts: str | None = None


class Container(Struct):
    """Where the pressed button is; the only trace of an ephemeral message."""

    channel_id: str | None = None
    thread_ts: str | None = None
    is_ephemeral: bool = False


class State(Struct):
    values: dict[str, Any] | None = None


class Interaction(Struct):
    type: str | None = None
    state: State | None = None
    """What the inputs of the same message contain."""
    user: Id | None = None
    channel: Id | None = None
    container: Container | None = None
    message: Message | None = None
    actions: list[Action] | None = None
    action_ts: str | None = None
    trigger_id: str | None = None


def _utterances(connector: Connector, request: Request, own_channel: str | None) -> list[Utterance]:
    if request.content_type == JSON:
        return of_event(connector, request.decode(Envelope), own_channel)
    if request.content_type == FORM:
        form = request.form()
        if "payload" in form:
            return of_interaction(connector, form["payload"])
        return of_command(form)
    raise RequestRejected(415, f"send {JSON} or {FORM}")


def _message(
    connector: Connector,
    request: Request,
    utterance: Utterance,
    use_threads: bool,
    granularity: str,
) -> InboundMessage:
    route = {"channel": utterance.channel}
    if use_threads or utterance.in_thread:
        route["thread_ts"] = utterance.thread
    if utterance.ephemeral:
        route["ephemeral"] = utterance.user
    return connector.message(
        request,
        id=utterance.id,
        sender_id=_conversation(utterance, granularity),
        text=utterance.text,
        metadata={
            "out_channel": utterance.channel,
            "thread_id": utterance.thread,
            "users": utterance.users,
            **utterance.extra,
        },
        route={key: value for key, value in route.items() if value},
    )


def _conversation(utterance: Utterance, granularity: str) -> str:
    parts = [utterance.user]
    if granularity == "channel" and utterance.channel:
        parts = [utterance.user, utterance.channel]
    if granularity == "thread" and utterance.channel and utterance.thread:
        parts = [utterance.user, utterance.channel, utterance.thread]
    return "_".join(parts)


def of_event(connector: Connector, envelope: Envelope, own_channel: str | None) -> list[Utterance]:
    """Return the utterance of a direct message, a mention, or a message in `own_channel`.

    A mention in `own_channel` arrives as two events. Both have the same channel and timestamp,
    which identify a message in Slack, and therefore the same id.
    """
    kind = (converted(envelope.event, Kind) or Kind()).type
    if kind not in ("message", "app_mention"):
        connector.ignore(kind or UNKNOWN)
        return []
    event = connector.shaped(envelope.event, Event)
    if event is None:
        return []
    channel, is_direct = event.channel, event.channel_type in DIRECT
    if event.bot_id or event.subtype not in SPOKEN or not event.user:
        connector.ignore("bot_message" if event.bot_id else event.subtype or "bot_message")
        return []
    if not (is_direct or kind == "app_mention" or channel == own_channel):
        log.info("ignored a message from a channel other than 'slack_channel'")
        connector.ignore("other_channel")
        return []
    users = envelope.authed_users
    if users is None:
        users = [first.user_id for first in (envelope.authorizations or [])[:1]]
    files = event.files or []
    shared = forwarded(event.attachments or [])
    text = sanitized(event.text or "", users) or where(files) or said_by(shared)
    if not text:
        connector.ignore("bare_mention" if event.text else "empty")
        return []
    return [
        Utterance(
            id=f"{channel}:{event.ts}" if channel and event.ts else envelope.event_id,
            user=event.user,
            text=text,
            channel=channel,
            thread=event.thread_ts or event.ts,
            users=users,
            in_thread=bool(event.thread_ts) and is_direct,
            extra=compact(
                files=about(files) or None,
                forwarded=about_shared(shared) or None,
            ),
        )
    ]


def of_interaction(connector: Connector, payload: str) -> list[Utterance]:
    """Return the pressed or selected values; [] for modals, shortcuts and link buttons.

    Raises:
        RequestRejected: 400, the payload does not have the expected shape.
    """
    interaction = decode_json(payload, Interaction)
    user = interaction.user.id if interaction.user else None
    texts = [selected(action) for action in interaction.actions or []]
    if not user or not any(texts):
        connector.ignore("link_button" if texts else interaction.type or UNKNOWN)
        return []
    trigger = interaction.trigger_id or interaction.action_ts
    container, message = interaction.container or Container(), interaction.message or Message()
    channel = (interaction.channel or Id()).id or container.channel_id
    # An ephemeral message has a timestamp, but cannot begin a thread.
    own = message.thread_ts or container.thread_ts
    thread = own if container.is_ephemeral else own or message.ts
    in_pane = (channel or "").startswith("D")
    return [
        Utterance(
            id=trigger and (f"{trigger}.{n}" if n else trigger),
            user=user,
            text=text,
            channel=channel,
            thread=thread,
            users=[user],
            in_thread=bool(own) and (container.is_ephemeral or in_pane),
            ephemeral=container.is_ephemeral and not in_pane,
            extra=compact(inputs=(interaction.state and interaction.state.values) or None),
        )
        for n, text in enumerate(texts)
        if text
    ]


def of_command(form: Mapping[str, str]) -> list[Utterance]:
    """Return the text of a slash command, or the command itself (`/restart`) if it has no text.

    Raises:
        RequestRejected: 400, the form is not a slash command.
    """
    command, user = form.get("command"), form.get("user_id")
    if form.get("ssl_check"):
        return []
    if not command or not user:
        raise RequestRejected(400, "the form has neither 'payload' nor 'command' and 'user_id'")
    return [
        Utterance(
            id=form.get("trigger_id"),
            user=user,
            text=sanitized(form.get("text", ""), []) or command,
            channel=form.get("channel_id"),
            thread=None,
            users=[user],
            extra={"command": command},
        )
    ]
