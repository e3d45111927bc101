"""Slack's requests, parsed into messages: events, interactions and slash commands.

The structs list only the fields in use, and msgspec refuses wrong types. Their sources:
https://docs.slack.dev/reference/events, …/interaction-payloads and
https://docs.slack.dev/interactivity/implementing-slash-commands.

A `response_url` is a secret: it is never put on the queue.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from bridge.connectors.base import Connector
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
        for utterance in _utterances(request, own_channel)
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
    extra: dict[str, Any] = field(default_factory=dict)
    """Further metadata."""


class Event(Struct):
    type: str | None = None
    subtype: str | None = None
    text: str | None = None
    user: str | None = None
    bot_id: str | None = None
    channel: str | dict[str, Any] | None = None
    """An object in events other than messages (channel_created)."""
    channel_type: str | None = None
    ts: str | None = None
    thread_ts: str | None = None


class Authorization(Struct):
    user_id: str | None = None


class Envelope(Struct):
    challenge: str | None = None
    event_id: str | None = None
    event: Event | None = None
    authed_users: list[str | None] | None = None
    authorizations: list[Authorization] | None = None


class Id(Struct):
    id: str | None = None


class Message(Struct):
    ts: str | None = None
    thread_ts: str | None = None


class Option(Struct):
    value: str | None = None


class Action(Struct):
    type: str | None = None
    value: str | None = None
    selected_option: Option | None = None
    selected_options: list[Option] | None = None
    selected_conversation: str | None = None
    selected_conversations: list[str] | None = None
    selected_user: str | None = None
    selected_users: list[str] | None = None
    selected_channel: str | None = None
    selected_channels: list[str] | None = None
    selected_date: str | None = None
    selected_time: str | None = None
    selected_date_time: int | None = None
    action_ts: str | None = None


class Interaction(Struct):
    type: str | None = None
    user: Id | None = None
    channel: Id | None = None
    message: Message | None = None
    actions: list[Action] | None = None
    action_ts: str | None = None
    trigger_id: str | None = None


SPOKEN = {None, "file_share", "me_message", "thread_broadcast"}
"""Subtypes of user messages. The others are edits, deletions, joins, renames, …"""

LINK = re.compile(r"<(?:mailto:|https?://)[^|<>]*\|([^<>|]*)[^<>]*>")
"""`<https://rasa.com|rasa.com>`, `<mailto:ada@x.org|ada@x.org>`: group 1 is the typed text."""


def _utterances(request: Request, own_channel: str | None) -> list[Utterance]:
    if request.content_type == JSON:
        return of_event(request.decode(Envelope), own_channel)
    if request.content_type == FORM:
        form = request.form()
        return of_interaction(form["payload"]) if "payload" in form else of_command(form)
    raise RequestRejected(415, f"send {JSON} or {FORM}")


def _message(
    connector: Connector,
    request: Request,
    utterance: Utterance,
    use_threads: bool,
    granularity: str,
) -> InboundMessage:
    route = {"channel": utterance.channel}
    if use_threads:
        route["thread_ts"] = utterance.thread
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


def of_event(envelope: Envelope, own_channel: str | None) -> list[Utterance]:
    """Return the utterance of a direct message, a mention, or a message in `own_channel`.

    A mention in `own_channel` arrives as two events. Both have the same channel and timestamp,
    which identify a message in Slack, and therefore the same id.
    """
    event = envelope.event
    if event is None or event.type not in ("message", "app_mention"):
        return []
    if event.bot_id or event.subtype not in SPOKEN or not event.text or not event.user:
        return []
    channel = event.channel if isinstance(event.channel, str) else None
    if not (event.channel_type == "im" or event.type == "app_mention" or channel == own_channel):
        log.info("ignored a message from a channel other than 'slack_channel'")
        return []
    users = envelope.authed_users
    if users is None:
        users = [first.user_id for first in (envelope.authorizations or [])[:1]]
    return [
        Utterance(
            id=f"{channel}:{event.ts}" if channel and event.ts else envelope.event_id,
            user=event.user,
            text=sanitized(event.text, users),
            channel=channel,
            thread=event.thread_ts or event.ts,
            users=users,
        )
    ]


def of_interaction(payload: str) -> list[Utterance]:
    """Return the pressed or selected values; [] for modals, shortcuts and link buttons.

    Raises:
        RequestRejected: 400, the payload does not have the expected shape.
    """
    interaction = decode_json(payload, Interaction)
    user = interaction.user.id if interaction.user else None
    if not user or not interaction.actions:
        return []
    trigger = interaction.trigger_id or interaction.action_ts
    message = interaction.message or Message()
    return [
        Utterance(
            id=trigger and (f"{trigger}.{n}" if n else trigger),
            user=user,
            text=text,
            channel=interaction.channel.id if interaction.channel else None,
            thread=message.thread_ts or message.ts,
            users=[user],
        )
        for n, action in enumerate(interaction.actions)
        for text in [selected(action)]
        if text is not None
    ]


def selected(action: Action) -> str | None:
    """Return the value of an action of any type; several values are joined by commas."""
    option = action.selected_option or Option()
    one = (
        action.value,
        option.value,
        action.selected_conversation,
        action.selected_user,
        action.selected_channel,
        action.selected_date,
        action.selected_time,
    )
    for value in one:
        if value is not None:
            return value
    if action.selected_date_time is not None:
        return str(action.selected_date_time)
    if action.type == "select":
        # The menu of an old-style attachment allows only one option.
        return next((option.value for option in action.selected_options or []), None)
    several = (
        [option.value for option in action.selected_options or []],
        action.selected_users,
        action.selected_channels,
        action.selected_conversations,
    )
    return next((", ".join(filter(None, values)) for values in several if values), None)


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
            text=form.get("text", "").strip() or command,
            channel=form.get("channel_id"),
            thread=None,
            users=[user],
            extra={"command": command},
        )
    ]


def sanitized(text: str, users: list[str | None]) -> str:
    """Return a text without mentions of these users and with links as typed, as Rasa does."""
    for user in filter(None, users):
        mention = rf"<@{re.escape(user)}>"
        text = re.sub(rf"{mention}\s", "", text)
        text = re.sub(rf"\s{mention}", "", text)
        text = re.sub(mention, " ", text)
    return LINK.sub(r"\1", text).strip()
