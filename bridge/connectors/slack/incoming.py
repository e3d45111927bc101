"""What Slack posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes: https://docs.slack.dev/reference/events, …/interaction-payloads and
https://docs.slack.dev/interactivity/implementing-slash-commands; only the fields that are used.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from bridge.connectors.toolkit.request import decode_json
from bridge.errors import RequestRejected

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What one user said, and where."""

    id: str | None
    user: str
    text: str
    channel: str | None
    thread: str | None
    users: list[str | None]
    """As Rasa has it: of an event those who have installed the bot, else the user."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further metadata."""


class Event(Struct):
    type: str | None = None
    subtype: str | None = None
    text: str | None = None
    user: str | None = None
    bot_id: str | None = None
    channel: str | dict[str, Any] | None = None
    """An object in events that are no messages (channel_created)."""
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
"""Subtypes in which a user says something. The others are edits, deletions, joins, renames, …"""

LINK = re.compile(r"<(?:mailto:|https?://)[^|<>]*\|([^<>|]*)[^<>]*>")
"""`<https://rasa.com|rasa.com>`, `<mailto:ada@x.org|ada@x.org>`: group 1 is what was typed."""


def of_event(envelope: Envelope, own_channel: str | None) -> list[Said]:
    """Return what an event says: a direct message, a mention, or a message in our own channel.

    A mention in our own channel comes as two events. They have the same channel and timestamp,
    which is Slack's identity of a message, and so the same id.
    """
    event = envelope.event
    if event is None or event.type not in ("message", "app_mention"):
        return []
    if event.bot_id or event.subtype not in SPOKEN or not event.text or not event.user:
        return []
    channel = event.channel if isinstance(event.channel, str) else None
    if not (event.channel_type == "im" or event.type == "app_mention" or channel == own_channel):
        log.info("a message in a channel that is not ours is ignored")
        return []
    users = envelope.authed_users
    if users is None:
        users = [first.user_id for first in (envelope.authorizations or [])[:1]]
    return [
        Said(
            id=f"{channel}:{event.ts}" if channel and event.ts else envelope.event_id,
            user=event.user,
            text=sanitized(event.text, users),
            channel=channel,
            thread=event.thread_ts or event.ts,
            users=users,
        )
    ]


def of_interaction(payload: str) -> list[Said]:
    """Return what was pressed or picked; modals, shortcuts and link buttons say nothing.

    Raises:
        RequestRejected: 400, the payload has not the expected shape.
    """
    interaction = decode_json(payload, Interaction)
    user = interaction.user.id if interaction.user else None
    if not user or not interaction.actions:
        return []
    trigger = interaction.trigger_id or interaction.action_ts
    message = interaction.message or Message()
    return [
        Said(
            id=trigger and (f"{trigger}.{n}" if n else trigger),
            user=user,
            text=text,
            channel=interaction.channel.id if interaction.channel else None,
            thread=message.thread_ts or message.ts,
            users=[user],
        )
        for n, action in enumerate(interaction.actions)
        for text in [picked(action)]
        if text is not None
    ]


def picked(action: Action) -> str | None:
    """Return the value of an action of any type; several are joined by commas."""
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
        # The menu of an old attachment: one of its options, and no more.
        return next((option.value for option in action.selected_options or []), None)
    several = (
        [option.value for option in action.selected_options or []],
        action.selected_users,
        action.selected_channels,
        action.selected_conversations,
    )
    return next((", ".join(filter(None, values)) for values in several if values), None)


def of_command(form: Mapping[str, str]) -> list[Said]:
    """Return what a slash command says: its text, or itself (`/restart`) if there is none.

    Raises:
        RequestRejected: 400, it is no slash command.
    """
    command, user = form.get("command"), form.get("user_id")
    if form.get("ssl_check"):
        return []
    if not command or not user:
        raise RequestRejected(400, "the form has neither 'payload' nor 'command' and 'user_id'")
    return [
        Said(
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
    """Return a text without mentions of these users, and links as they were typed; as Rasa."""
    for user in filter(None, users):
        mention = rf"<@{re.escape(user)}>"
        text = re.sub(rf"{mention}\s", "", text)
        text = re.sub(rf"\s{mention}", "", text)
        text = re.sub(mention, " ", text)
    return LINK.sub(r"\1", text).strip()
