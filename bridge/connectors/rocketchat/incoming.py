"""Rocket.Chat's requests, parsed into messages: outgoing integrations and the omnichannel webhook.

The structs list only the fields in use, and msgspec refuses wrong types. Their source is the
server's code (apps/meteor/app): integrations/server/lib/triggerHandler.ts for outgoing
integrations, livechat/server/hooks/sendToCRM.ts for the omnichannel webhook.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.request import Request, expect_json
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage


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
        for utterance in utterances(posted(request), user)
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


class LivechatMessage(Struct):
    id: str | None = field(default=None, name="_id")
    username: str | None = None
    msg: str | None = None
    agent_id: str | None = field(default=None, name="agentId")
    closing: bool | None = field(default=None, name="closingMessage")
    navigation: Any = None


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

    room: str | None = field(default=None, name="_id")
    type: str | None = None
    visitor: Visitor | None = None
    messages: list[LivechatMessage] | None = None


@dataclass(frozen=True)
class Utterance:
    id: str | None
    room: str
    text: str
    thread: str | None
    metadata: dict[str, Any]


def utterances(posted: Posted, user: str) -> Iterator[Utterance]:
    """Yield the users' utterances; leave out those of `user` (the bot) and of other bots.

    Raises:
        RequestRejected: 400, the room is missing.
    """
    yield from _of_livechat(posted, user) if posted.visitor else _of_channel(posted, user)


def _of_channel(posted: Posted, user: str) -> Iterator[Utterance]:
    if posted.bot or _is(posted.user_name, user) or not (posted.text or "").strip():
        return
    assert posted.text is not None
    id = posted.message_id
    if id and posted.edited:
        # The payload lacks the time of the edit, so the text tells edits apart.
        id = f"{id}:{hashlib.sha256(posted.text.encode(errors='replace')).hexdigest()[:16]}"
    yield Utterance(
        id,
        _room(posted.channel_id),
        posted.text,
        posted.tmid,
        _known(
            user_id=posted.user_id,
            user_name=posted.user_name,
            alias=posted.alias,
            channel_name=posted.channel_name,
            message_id=posted.message_id,
            tmid=posted.tmid,
        ),
    )


def _of_livechat(posted: Posted, user: str) -> Iterator[Utterance]:
    # Other events repeat the messages of the whole chat.
    if posted.type not in (None, "Message"):
        return
    assert posted.visitor is not None
    for message in posted.messages or []:
        if message.agent_id or message.closing or message.navigation or not message.msg:
            continue
        if not _is(message.username, user) and message.msg.strip():
            yield Utterance(
                message.id,
                _room(posted.room),
                message.msg,
                None,
                _known(
                    user_name=message.username,
                    visitor_name=posted.visitor.name,
                    message_id=message.id,
                ),
            )


def _is(name: str | None, user: str) -> bool:
    return (name or "").lower() == user.lower()


def _room(id: str | None) -> str:
    if not id:
        raise RequestRejected(400, "'channel_id' is missing ('_id' in a livechat)")
    return id


def _known(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
