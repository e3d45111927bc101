"""What Telegram posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes: https://core.telegram.org/bots/api#update; only the fields that are used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field


class User(Struct):
    id: int
    username: str | None = None
    first_name: str | None = None
    language_code: str | None = None


class Chat(Struct):
    id: int
    type: str | None = None


class Location(Struct):
    longitude: int | float
    latitude: int | float


class File(Struct):
    file_id: str


class Message(Struct):
    chat: Chat
    message_id: int | None = None
    user: User | None = field(default=None, name="from")
    text: str | None = None
    caption: str | None = None
    location: Location | None = None
    photo: list[File] | None = None
    document: File | None = None
    audio: File | None = None
    video: File | None = None
    voice: File | None = None


class CallbackQuery(Struct):
    id: str
    user: User | None = field(default=None, name="from")
    message: Message | None = None
    data: str | None = None


class Update(Struct):
    update_id: int
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: CallbackQuery | None = None


@dataclass(frozen=True)
class Said:
    chat: str
    text: str
    metadata: dict[str, Any]


def said(update: Update, bot: str) -> Said | None:
    """Return what an update says, or None: stickers, joins, posts in channels, ….

    A button says its data, an edited message its new text, a location Rasa's
    `{"lng":…, "lat":…}`, a photo or file its caption.
    """
    query = update.callback_query
    if query is not None:
        if query.message is None or query.data is None:
            return None
        # The message is the bot's; who pressed the button is told beside it.
        return Said(
            str(query.message.chat.id), query.data, metadata(query.message, query.user, False)
        )
    message = update.edited_message or update.message
    if message is None:
        return None
    text = message.text if message.text is not None else message.caption
    if text is not None:
        text = sanitized(text, bot)
    elif message.location is not None:
        at = message.location
        text = f'{{"lng":{at.longitude}, "lat":{at.latitude}}}'
    else:
        return None
    return Said(str(message.chat.id), text, metadata(message, message.user, True))


def metadata(message: Message, user: User | None, files: bool) -> dict[str, Any]:
    """Return what custom actions may need; Rasa's own channel gives nothing."""
    known: dict[str, Any] = {"message_id": message.message_id, "chat_type": message.chat.type}
    if user is not None:
        known |= {
            "user_id": user.id,
            "username": user.username,
            "first_name": user.first_name,
            "language_code": user.language_code,
        }
    if files:
        known |= {
            "photo": message.photo[-1].file_id if message.photo else None,
            "document": message.document and message.document.file_id,
            "audio": message.audio and message.audio.file_id,
            "video": message.video and message.video.file_id,
            "voice": message.voice and message.voice.file_id,
        }
    return {key: value for key, value in known.items() if value is not None}


def sanitized(text: str, bot: str) -> str:
    """Return a text without what only addresses the bot.

    That is the command `/bot` (as Rasa, but not inside other words), and in groups `@name`, also
    that of `/start@name`: Rasa would read it as a confidence.
    """
    text = re.sub(r"^/bot(?![\w-])", "", text)
    if bot:
        text = re.sub(rf"(?<!\w\.)@{re.escape(bot)}(?!\w)", "", text, flags=re.IGNORECASE)
    return text.strip()
