"""Bot Framework's activities, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
(Activity).
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.events import compact, converted
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

SAYING = ("message", "invoke")
"""Types of activities that may say something."""
TEAMS = "msteams"
"""The channel id of Teams."""
EXECUTED = "adaptiveCard/action"
"""Name of the invoke that a card's Action.Execute sends; other invokes want a dialog or a list."""


def parse(connector: Connector, request: Request) -> list[InboundMessage]:
    """Return the message of an activity, or [] for activities that say nothing.

    Raises:
        RequestRejected: 400 or 415, it is not an activity, or a field is missing; 501, it is an
            invoke other than a card's action.
    """
    expect_json(request)
    activity = activity_of(request)
    text: str | None
    if activity.type == "message":
        text = text_of(connector, activity)
    elif activity.type == "invoke":
        text = payload_of(activity)
    else:
        connector.ignore(activity.type)
        return []
    user, bot, conversation, url = (
        activity.user,
        activity.recipient,
        activity.conversation,
        activity.service_url,
    )
    if not (user and user.id and bot and conversation and conversation.id and url):
        raise RequestRejected(
            400, "a message needs 'from', 'recipient', 'conversation' and 'serviceUrl'"
        )
    if text is None:
        return []
    message = connector.message(
        request,
        # Activity ids are unique within a conversation only.
        id=f"{conversation.id}:{activity.id}" if activity.id else None,
        sender_id=user.id,
        text=text,
        metadata=metadata(activity),
        # Replies are sent from the bot's account, exactly as it was received.
        route=compact(
            service_url=url,
            conversation=conversation.id,
            bot=request.json_object()["recipient"],
            channel_id=TEAMS if activity.channel_id == TEAMS else None,
        ),
    )
    return [message]


QUOTED = re.compile(r"<quoted\b[^<>]*/>")
"""Stands in the text of Teams for a message that the user quotes; an entity describes it."""


class Account(Struct, rename={"aad_id": "aadObjectId"}):
    id: str
    name: str | None = None
    aad_id: str | None = None


class Mention(Struct):
    text: str
    mentioned: Account


class File(Struct, rename="camel"):
    content_type: str | None = None
    content_url: str | None = None
    name: str | None = None


class Kind(Struct):
    type: str


class Activity(Struct, rename="camel"):
    type: str
    id: str | None = None
    name: str | None = None
    service_url: str | None = None
    channel_id: str | None = None
    locale: str | None = None
    reply_to_id: str | None = None
    text: str | None = None
    value: Any = None
    attachments: list[Any] | None = None
    entities: list[Any] | None = None
    conversation: Account | None = None
    recipient: Account | None = None
    user: Account | None = field(default=None, name="from")


def activity_of(request: Request) -> Activity:
    """Return the activity of a request; of one that says nothing, perhaps only its type.

    Raises:
        RequestRejected: 400, it is not an activity, or a message of an unexpected shape.
    """
    try:
        return request.decode(Activity)
    except RequestRejected:
        kind = request.decode(Kind).type
        if kind in SAYING:
            raise
        return Activity(kind)


def text_of(connector: Connector, activity: Activity) -> str | None:
    """Return the text of a message, or count what it is and return None.

    Without a text, it is the payload of a submitted card, or where the first file is.
    """
    text = typed(activity)
    if text:
        return text
    if activity.value is not None and (said := _said_by(activity.value)).strip():
        return said
    where = next(filter(None, map(_where, activity.attachments or [])), None)
    if where is None:
        connector.ignore("bare_mention" if activity.text else "empty")
    return where


def typed(activity: Activity) -> str:
    """Return the text without the bot's name; Teams encodes it as HTML."""
    text, bot = activity.text or "", activity.recipient
    for value in activity.entities or []:
        mention = converted(value, Mention)
        if mention is None:
            continue
        if bot and mention.mentioned.id == bot.id:
            text = text.replace(mention.text, " ")
            if bot.name:
                text = re.sub(rf"<at\b[^<>]*>{re.escape(bot.name)}</at>", " ", text)
        elif mention.mentioned.name:
            text = text.replace(mention.text, mention.mentioned.name)
    if activity.channel_id == TEAMS:
        text = QUOTED.sub(" ", text)
        text = html.unescape(text).replace("\xa0", " ")
    return re.sub(r" {2,}", " ", text).strip() if text != activity.text else text.strip()


def _where(attachment: Any) -> str | None:
    """Return the URL of a file; None for the HTML copy that Teams attaches to a text."""
    file = converted(attachment, File)
    if file is None or file.content_type == "text/html":
        return None
    return file.content_url or file.name


def payload_of(activity: Activity) -> str:
    """Return what a card's Action.Execute says: its payload, else its verb as an intent.

    Raises:
        RequestRejected: 501, the invoke is of another kind.
    """
    action = activity.value.get("action") if isinstance(activity.value, dict) else None
    if activity.name != EXECUTED or not isinstance(action, dict):
        raise RequestRejected(501, "this kind of invoke is not supported")
    data, verb = action.get("data"), action.get("verb")
    if isinstance(data, str) and data.strip():
        return data
    if isinstance(data, dict) and _payload(data):
        return _said_by(data)
    if isinstance(verb, str) and verb.strip():
        return f"/{verb.lstrip('/')}{json.dumps(data) if data else ''}"
    return _said_by(data or {})


def _said_by(value: Any) -> str:
    """Return a card's value as a text: itself, its `payload`, or its JSON."""
    return value if isinstance(value, str) else _payload(value) or json.dumps(value)


def _payload(value: Any) -> str | None:
    payload = value.get("payload") if isinstance(value, dict) else None
    return payload if isinstance(payload, str) and payload.strip() else None


class Quote(Struct, rename="camel"):
    """An entity of the type `quotedReply`."""

    quoted_reply: dict[str, Any]


def metadata(activity: Activity) -> dict[str, Any] | None:
    """Return Rasa's `attachments`, and further metadata for custom actions."""
    user = activity.user
    quotes = [converted(entity, Quote) for entity in activity.entities or []]
    known = compact(
        attachments=activity.attachments or None,
        value=activity.value,
        reply_to=activity.reply_to_id,
        quoted=[quote.quoted_reply for quote in quotes if quote] or None,
        channel_id=activity.channel_id,
        locale=activity.locale,
        user_name=user and user.name,
        aad_object_id=user and user.aad_id,
    )
    return known or None
