"""What Bot Framework posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes: https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference
(Activity); only the fields that are used.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


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


def said(activity: Activity) -> str | None:
    """Return what a message says, or None if it says nothing.

    A card that is submitted has a value, and a file an attachment, beside an empty text.
    """
    text, bot = activity.text or "", activity.recipient and activity.recipient.id
    for entity in activity.entities or []:
        if entity.text and entity.mentioned and entity.mentioned.id == bot:
            text = text.replace(entity.text, "").strip()
    if not text and isinstance(activity.value, str):
        text = activity.value
    return text if text or activity.attachments or activity.value is not None else None


def metadata(activity: Activity) -> dict[str, Any] | None:
    """Return Rasa's `attachments`, and what custom actions may need besides."""
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
