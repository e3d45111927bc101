"""Rocket.Chat's requests, parsed into messages: outgoing integrations and the omnichannel webhook.

The structs list only the fields in use, and msgspec refuses wrong types. Their source is the
server's code (apps/meteor/app): integrations/server/lib/triggerHandler.ts for outgoing
integrations, livechat/server/hooks/sendToCRM.ts for the omnichannel webhook.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.events import converted, digest
from bridge.connectors.toolkit.mentions import without_mention
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

LINK = re.compile(r"\[\s*\]\(([^)\s]+)\)")
QUOTE = re.compile(rf"(?:{LINK.pattern}\s*)+")


def parse(connector: Connector, request: Request, user: str) -> list[InboundMessage]:
    """Return the messages of a request, except those of the bot itself (`user`).

    Raises:
        RequestRejected: 400 or 415, it is not a request of Rocket.Chat.
    """
    return [
        connector.message(
            request,
            id=utterance.id,
            sender_id=utterance.room,
            text=utterance.text,
            metadata=utterance.metadata,
            route={"tmid": utterance.thread} if utterance.thread else {},
        )
        for utterance in utterances(connector, posted(request), user)
    ]


def posted(request: Request) -> Posted:
    """Return the body of a request.

    Raises:
        RequestRejected: 400 or 415, it is not JSON of the expected shape.
    """
    expect_json(request)
    return request.decode(Posted)


class Visitor(Struct):
    name: str | None = None
    username: str | None = None


class File(Struct):
    title: str | None = None
    title_link: str | None = None
    image_url: str | None = None
    audio_url: str | None = None
    video_url: str | None = None

    @property
    def where(self) -> str | None:
        return self.title_link or self.image_url or self.audio_url or self.video_url or self.title


class Upload(Struct, rename="camel"):
    public_file_path: str | None = None


class Named(Struct):
    name: str | None = None


class WithFiles(Struct):
    """The message of an event about a file."""

    attachments: list[File] | None = None
    files: list[Named] | None = None
    file: Named | None = None


class LivechatMessage(Struct):
    id: str | None = field(default=None, name="_id")
    username: str | None = None
    msg: str | None = None
    agent_id: str | None = field(default=None, name="agentId")
    closing: bool | None = field(default=None, name="closingMessage")
    navigation: Any = None
    upload: Upload | None = field(default=None, name="fileUpload")
    attachments: list[File] | None = None


class Posted(Struct):
    """The body of either kind; only that of the omnichannel webhook has a visitor."""

    token: str | None = None
    bot: Any = None
    channel_id: str | None = None
    channel_name: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    alias: str | None = None
    text: str | None = None
    edited: bool | None = field(default=None, name="isEdited")
    tmid: str | None = None
    message: Any = None

    room: str | None = field(default=None, name="_id")
    type: str | None = None
    visitor: Visitor | None = None
    messages: list[Any] | None = None
    """Decoded one by one."""


@dataclass(frozen=True)
class Utterance:
    id: str | None
    room: str
    text: str
    thread: str | None
    metadata: dict[str, Any]


def utterances(connector: Connector, posted: Posted, user: str) -> Iterator[Utterance]:
    """Yield the users' utterances, except those of `user` (the bot) and of other bots; count the
    rest.

    Raises:
        RequestRejected: 400, the room is missing.
    """
    of = _of_livechat if posted.visitor else _of_channel
    yield from of(connector, posted, user)


def _of_channel(connector: Connector, posted: Posted, user: str) -> Iterator[Utterance]:
    file = _file_in(converted(posted.message, WithFiles) or WithFiles())
    said, quotes = unquoted(posted.text or "")
    text = without_mention(said, user) or file or ""
    if posted.bot or _is(posted.user_name, user):
        connector.ignore("bot_message" if posted.bot else "own_message")
    elif not text.strip():
        kind = "bare_mention" if said.strip() else "empty"
        connector.ignore(kind if posted.message_id else "other_event")
    else:
        yield Utterance(
            # The payload lacks the time of an edit, so the text tells edits apart.
            posted.message_id and f"{posted.message_id}:{digest(text)}",
            _room(posted.channel_id),
            text,
            posted.tmid,
            _known(
                user_id=posted.user_id,
                user_name=posted.user_name,
                alias=posted.alias,
                channel_name=posted.channel_name,
                message_id=posted.message_id,
                tmid=posted.tmid,
                file=file,
                quotes=quotes,
            ),
        )


def unquoted(text: str) -> tuple[str, list[str]]:
    """Return a text without the links to the messages that it quotes, and these links.

    Rocket.Chat puts them before the text, with a label that shows nothing.
    """
    quotes = QUOTE.match(text)
    if quotes is None:
        return text, []
    return text[quotes.end() :].lstrip(), LINK.findall(quotes[0])


def _file_in(message: WithFiles) -> str | None:
    named = [*(message.files or []), *([message.file] if message.file else [])]
    return _where(message.attachments or []) or next((f.name for f in named if f.name), None)


def _of_livechat(connector: Connector, posted: Posted, user: str) -> Iterator[Utterance]:
    # Other events repeat the messages of the whole chat.
    if posted.type not in (None, "Message"):
        connector.ignore(posted.type)
        return
    visitor = posted.visitor or Visitor()
    for given in posted.messages or []:
        message = connector.shaped(given, LivechatMessage)
        if message is None:
            continue
        file = _file_of(message)
        text = message.msg if message.msg and message.msg.strip() else file
        ignored = _reason(message, user)
        if ignored or text is None:
            connector.ignore(ignored or "empty")
            continue
        yield Utterance(
            message.id,
            _room(posted.room),
            text,
            None,
            _known(
                user_name=message.username,
                visitor_name=visitor.name,
                message_id=message.id,
                file=file,
            ),
        )


def _reason(message: LivechatMessage, user: str) -> str | None:
    """Return why a message is no visitor's, or None."""
    reasons = {
        "own_message": _is(message.username, user),
        "agent_message": message.agent_id,
        "closing_message": message.closing,
        "navigation": message.navigation,
    }
    return next((kind for kind, applies in reasons.items() if applies), None)


def _file_of(message: LivechatMessage) -> str | None:
    upload = message.upload.public_file_path if message.upload else None
    return upload or _where(message.attachments or [])


def _where(files: list[File]) -> str | None:
    return next((file.where for file in files if file.where), None)


def _is(name: str | None, user: str) -> bool:
    return (name or "").lower() == user.lower()


def _room(id: str | None) -> str:
    if not id:
        raise RequestRejected(400, "'channel_id' is missing ('_id' in a livechat)")
    return id


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
