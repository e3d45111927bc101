"""Telegram's updates, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://core.telegram.org/bots/api#update.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request, bot: str, bot_id: str) -> list[InboundMessage]:
    """Return the messages of an update; `/restart` becomes two, as in Rasa.

    `bot` is the bot's user name, `bot_id` the number in its token.

    Raises:
        RequestRejected: 400 or 415, it is not an update.
    """
    expect_json(request)
    update = request.decode(Update)
    utterance = utterance_of(update, bot)
    if utterance is None:
        return []
    # Each bot numbers its own updates, and a user's private chat has the same id for every bot.
    id = f"{bot_id}:{update.update_id}"
    texts = ["/restart", "/start"] if utterance.text == "/restart" else [utterance.text]
    return [
        connector.message(
            request,
            id=f"{id}.{n}" if n else id,
            sender_id=utterance.chat,
            text=text,
            metadata=utterance.metadata,
        )
        for n, text in enumerate(texts)
    ]


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
class Utterance:
    chat: str
    text: str
    metadata: dict[str, Any]


def utterance_of(update: Update, bot: str) -> Utterance | None:
    """Return the utterance of an update, or None (stickers, joins, channel posts, …).

    The text of a button is its data; of an edited message, the new text; of a location, Rasa's
    `{"lng":…, "lat":…}`; of a photo or file, the caption.
    """
    query = update.callback_query
    if query is not None:
        if query.message is None or query.data is None:
            return None
        # The bot wrote the message; the query names the user who pressed the button.
        return Utterance(
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
    return Utterance(str(message.chat.id), text, metadata(message, message.user, True))


def metadata(message: Message, user: User | None, files: bool) -> dict[str, Any]:
    """Return metadata for custom actions; Rasa's own channel provides none."""
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

    These are the command `/bot` (as in Rasa, but not inside other words) and `@name` in groups,
    also in `/start@name`, which Rasa would read as a confidence.
    """
    text = re.sub(r"^/bot(?![\w-])", "", text)
    if bot:
        text = re.sub(rf"(?<!\w\.)@{re.escape(bot)}(?!\w)", "", text, flags=re.IGNORECASE)
    return text.strip()
