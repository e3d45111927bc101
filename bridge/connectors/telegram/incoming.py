"""Telegram's updates, parsed into messages.

The structs list only the fields in use, and msgspec refuses wrong types. Their source:
https://core.telegram.org/bots/api#update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.telegram.content import Content, about, is_for_another, text_of
from bridge.connectors.telegram.kinds import SERVICE
from bridge.connectors.toolkit.events import UNKNOWN, compact, digest
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

T = TypeVar("T")

GENERAL = 1
"""The id of a forum's topic General, which a reply must not name."""


def parse(connector: Connector, request: Request, bot: str, bot_id: str) -> list[InboundMessage]:
    """Return the messages of an update; `/restart` becomes two, as in Rasa.

    `bot` is the bot's user name, `bot_id` the number in its token.

    Raises:
        RequestRejected: 400 or 415, it is not an update.
    """
    expect_json(request)
    update = update_of(request)
    said = utterance_of(connector, update, request, bot)
    if said is None:
        return []
    # Each bot numbers its own updates, and a user's private chat has the same id for every bot.
    id = f"{bot_id}:{said.id}"
    texts = ["/restart", "/start"] if said.text == "/restart" else [said.text]
    return [
        connector.message(
            request,
            id=f"{id}.{n}" if n else id,
            sender_id=str(said.message.chat.id),
            text=text,
            metadata={**metadata(said.message, said.user), **said.about},
            route=route_of(said.message, update.callback_query),
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


class DirectMessagesTopic(Struct):
    topic_id: int


class Message(Content, kw_only=True):
    chat: Chat
    message_id: int | None = None
    """0 for ephemeral messages."""
    ephemeral_message_id: int | None = None
    """Of a message that only one user and the bot see. It is used again for later messages."""
    user: User | None = field(default=None, name="from")
    message_thread_id: int | None = None
    is_topic_message: bool = False
    is_automatic_forward: bool = False
    """A post of the channel that the group discusses, of which Telegram puts a copy there."""
    direct_messages_topic: DirectMessagesTopic | None = None
    media_group_id: str | None = None
    reply_to_message: Any = None
    quote: Any = None
    """The part of the replied message that the user quotes."""
    forward_origin: dict[str, Any] | None = None


class Query(Struct):
    """A pressed button."""

    id: str
    user: User | None = field(default=None, name="from")
    message: Message | None = None
    data: str | None = None


class Numbered(Struct):
    """What every update has."""

    update_id: int


class Update(Numbered):
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: Query | None = None


def update_of(request: Request) -> Update:
    """Return the update of a request. Of one with an unexpected shape, only its number is known.

    Raises:
        RequestRejected: 400, it is not an update.
    """
    try:
        return request.decode(Update)
    except RequestRejected:
        # Telegram would send it again and again, and nothing that follows it.
        return Update(request.decode(Numbered).update_id)


@dataclass(frozen=True)
class Utterance:
    id: str
    text: str
    message: Message
    user: User | None
    about: dict[str, Any]


def utterance_of(
    connector: Connector, update: Update, request: Request, bot: str
) -> Utterance | None:
    """Return the utterance of an update, or count what it is and return None."""
    if update.callback_query is not None:
        return _of_button(connector, update)
    message = update.edited_message or update.message
    if message is None:
        posted = request.json_object()
        connector.ignore(next((key for key in posted if key != "update_id"), UNKNOWN))
        return None
    if update.edited_message is not None and message.location is not None:
        connector.ignore("live_location")  # one every few seconds, as it moves
        return None
    if message.is_automatic_forward:
        connector.ignore("automatic_forward")
        return None
    if is_for_another(message, bot):
        connector.ignore("other_bot")
        return None
    text = text_of(message, bot)
    if not text or not text.strip():
        posted = request.json_object()
        said = posted.get("edited_message") or posted["message"]
        service = next((kind for kind in SERVICE if kind in said), UNKNOWN)
        connector.ignore(service if text is None else "bare_mention")
        return None
    return Utterance(_id(update, message, text), text, message, message.user, about(message))


def _of_button(connector: Connector, update: Update) -> Utterance | None:
    query = update.callback_query
    if query is None or query.message is None or not query.data:
        connector.ignore("callback_query_without_data")
        return None
    # The bot wrote the message; the query names the user who pressed the button.
    return Utterance(str(update.update_id), query.data, query.message, query.user, {})


def _id(update: Update, message: Message, text: str) -> str:
    """Return the id of a message with this content.

    Telegram sends an edited message for reactions and link previews, too: such an edit has the id
    of the original.
    """
    if not message.message_id:
        return str(update.update_id)
    files = [file.file_unique_id for file in message.files().values()]
    return f"{message.chat.id}:{message.message_id}:{digest(text, *files)}"


def metadata(message: Message, user: User | None) -> dict[str, Any]:
    """Return metadata for custom actions; Rasa's own channel provides none."""
    return compact(
        message_id=message.message_id,
        chat_type=message.chat.type,
        message_thread_id=topic_of(message),
        media_group_id=message.media_group_id,
        reply_to=_field(message.reply_to_message, "message_id", int),
        quote=_field(message.quote, "text", str),
        forward_origin=message.forward_origin,
        user_id=user and user.id,
        username=user and user.username,
        first_name=user and user.first_name,
        language_code=user and user.language_code,
    )


def _field(value: Any, name: str, type: type[T]) -> T | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, type) else None


def topic_of(message: Message) -> int | None:
    """Return the forum topic of a message.

    Without `is_topic_message`, `message_thread_id` names a chain of replies, and no reply may name
    it.
    """
    topic = message.message_thread_id if message.is_topic_message else None
    return None if topic == GENERAL else topic


def route_of(message: Message, query: Query | None) -> dict[str, Any]:
    """Return the parameters that place a reply beside its message, for every method that sends.

    `query` is that of the pressed button, if there is one.
    """
    direct = message.direct_messages_topic
    return compact(
        message_thread_id=topic_of(message),
        direct_messages_topic_id=direct and direct.topic_id,
        **_seen_by_one(message, query),
    )


def _seen_by_one(message: Message, query: Query | None) -> dict[str, Any]:
    """Return the parameters of a reply to an ephemeral message, which others must not see."""
    id, user = message.ephemeral_message_id, query.user if query else message.user
    if id is None or user is None:
        return {}
    if query is not None:
        receiver = {"receiver_user_id": user.id, "callback_query_id": query.id}
        return {"ephemeral_message_parameters": receiver}
    return {
        "ephemeral_message_parameters": {"receiver_user_id": user.id},
        "reply_parameters": {"ephemeral_message_id": id},
    }
