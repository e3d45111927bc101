"""Bot Framework's activities, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
(Activity).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request) -> list[InboundMessage]:
    """Return the message of an activity, or [] for activities other than messages.

    Raises:
        RequestRejected: 400 or 415, it is not an activity, or a field is missing.
    """
    expect_json(request)
    activity = request.decode(Activity)
    if activity.type != "message":
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
    text = text_of(activity)
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
        route={
            "service_url": url,
            "conversation": conversation.id,
            "bot": request.json_object()["recipient"],
        },
    )
    return [message]


class Account(Struct, rename={"aad_id": "aadObjectId"}):
    id: str
    name: str | None = None
    aad_id: str | None = None


class Entity(Struct):
    type: str | None = None
    text: str | None = None
    mentioned: Account | None = None


class Activity(Struct, rename="camel"):
    type: str
    id: str | None = None
    service_url: str | None = None
    channel_id: str | None = None
    locale: str | None = None
    text: str | None = None
    value: Any = None
    attachments: list[Any] | None = None
    entities: list[Entity] | None = None
    conversation: Account | None = None
    recipient: Account | None = None
    user: Account | None = field(default=None, name="from")


def text_of(activity: Activity) -> str | None:
    """Return the text of a message, or None if the message is empty.

    A submitted card has a value, and a file has an attachment; the text of both is empty.
    """
    text, bot = activity.text or "", activity.recipient and activity.recipient.id
    for entity in activity.entities or []:
        if entity.text and entity.mentioned and entity.mentioned.id == bot:
            text = text.replace(entity.text, "").strip()
    if not text and isinstance(activity.value, str):
        text = activity.value
    return text if text or activity.attachments or activity.value is not None else None


def metadata(activity: Activity) -> dict[str, Any] | None:
    """Return Rasa's `attachments`, and further metadata for custom actions."""
    user = activity.user
    known = {
        "attachments": activity.attachments or None,
        "value": activity.value,
        "channel_id": activity.channel_id,
        "locale": activity.locale,
        "user_name": user and user.name,
        "aad_object_id": user and user.aad_id,
    }
    return {key: value for key, value in known.items() if value is not None} or None
