"""What Rocket.Chat posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes, by the server's own source (apps/meteor/app): an outgoing integration's
(integrations/server/lib/triggerHandler.ts) and the omnichannel webhook's
(livechat/server/hooks/sendToCRM.ts).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from bridge.errors import RequestRejected


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
    """Either of the two: an omnichannel webhook has a visitor."""

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
class Said:
    id: str | None
    room: str
    text: str
    thread: str | None
    metadata: dict[str, Any]


def said(posted: Posted, user: str) -> Iterator[Said]:
    """Yield what users say; nothing for the bot's own messages (`user`) and those of others.

    Raises:
        RequestRejected: 400, there is no room.
    """
    yield from _of_livechat(posted, user) if posted.visitor else _of_channel(posted, user)


def _of_channel(posted: Posted, user: str) -> Iterator[Said]:
    if posted.bot or _is(posted.user_name, user) or not (posted.text or "").strip():
        return
    assert posted.text is not None
    id = posted.message_id
    if id and posted.edited:
        # Another message by another text: when it was edited is not told.
        id = f"{id}:{hashlib.sha256(posted.text.encode(errors='replace')).hexdigest()[:16]}"
    yield Said(
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


def _of_livechat(posted: Posted, user: str) -> Iterator[Said]:
    # Other events bring the messages of a whole chat once more.
    if posted.type not in (None, "Message"):
        return
    assert posted.visitor is not None
    for message in posted.messages or []:
        if message.agent_id or message.closing or message.navigation or not message.msg:
            continue
        if not _is(message.username, user) and message.msg.strip():
            yield Said(
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
        raise RequestRejected(400, "'channel_id', or of a livechat '_id', is missing")
    return id


def _known(**values: str | None) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
