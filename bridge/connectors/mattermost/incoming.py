"""Mattermost's requests, parsed into messages: outgoing webhooks, buttons and slash commands.

The structs list only the fields in use, and msgspec refuses wrong types. Their source is the
server's code (server/public/model and server/channels/app): OutgoingWebhookPayload (JSON or form),
PostActionIntegrationRequest (JSON), and the form of a custom slash command.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.events import UNKNOWN
from bridge.connectors.toolkit.mentions import without_mention
from bridge.connectors.toolkit.request import FORM, JSON, Request
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage


def parse(connector: Connector, request: Request, bot: str | None) -> list[InboundMessage]:
    """Return the messages of a request. `bot` is the bot's user name, if it is known.

    Raises:
        RequestRejected: 400 or 415, it is not a request of Mattermost.
    """
    given = posted(request)
    utterance = utterance_of(given, bot)
    if utterance is None:
        connector.ignore(_silence(given))
        return []
    route = {"channel_id": utterance.channel, "root_id": given.root_id}
    return [
        connector.message(
            request,
            id=utterance.id,
            sender_id=utterance.user,
            text=utterance.text,
            metadata=utterance.metadata,
            route={key: value for key, value in route.items() if value},
        )
    ]


class Context(Struct):
    """The context of a button; Mattermost does not show it to users."""

    action: str | None = None
    selected_option: str | None = None
    token: str | None = None


class Posted(Struct):
    """The body of any of the three.

    Only webhooks have a `trigger_word`, only buttons and menus a `context`.
    """

    token: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    channel_id: str | None = None
    channel_name: str | None = None
    team_domain: str | None = None
    post_id: str | None = None
    root_id: str | None = None
    text: str | None = None
    trigger_word: str | None = None
    trigger_id: str | None = None
    file_ids: str | None = None
    command: str | None = None
    context: Context | None = None

    @property
    def of_button(self) -> bool:
        return self.context is not None and self.trigger_word is None and self.command is None


@dataclass(frozen=True)
class Utterance:
    id: str | None
    user: str
    channel: str
    text: str
    metadata: dict[str, Any]


def posted(request: Request) -> Posted:
    """Return the body of a request.

    Raises:
        RequestRejected: 400 or 415, it is neither JSON nor a form of the expected shape.
    """
    if request.content_type == JSON:
        return request.decode(Posted)
    if request.content_type == FORM:
        fields = {key: value for key, value in request.form().items() if key != "context"}
        return msgspec.convert(fields, Posted)
    raise RequestRejected(415, f"send {JSON} or {FORM}")


def utterance_of(given: Posted, bot: str | None) -> Utterance | None:
    """Return the user's utterance, or None for an empty text and for other requests.

    Raises:
        RequestRejected: 400, the user or the channel is missing.
    """
    text = _text(given, bot)
    if text is None or not text.strip():
        return None
    if not given.user_id or not given.channel_id:
        raise RequestRejected(400, "'user_id' or 'channel_id' is missing")
    known = {
        "channel_id": given.channel_id,
        "channel_name": given.channel_name,
        "team_domain": given.team_domain,
        "user_name": given.user_name,
        "post_id": given.post_id,
        "root_id": given.root_id,
        "file_ids": given.file_ids,
        "command": given.command,
        "selected_option": given.context.selected_option if given.context else None,
    }
    metadata = {key: value for key, value in known.items() if value}
    return Utterance(_id(given), given.user_id, given.channel_id, text, metadata)


def _silence(given: Posted) -> str:
    """Return the kind of a request that says nothing."""
    if given.trigger_word is None and given.context is None:
        return UNKNOWN
    return "bare_mention" if (given.text or "").strip() else "empty"


def _text(given: Posted, bot: str | None) -> str | None:
    if given.command is not None:
        return given.text if given.text and given.text.strip() else given.command
    if given.trigger_word is not None:
        _, *rest = (given.text or "").split(None, 1) or [""]
        # The trigger word only addresses the bot, unless it is the whole text.
        text = rest[0] if given.trigger_word and rest else given.text or ""
        said = text if given.trigger_word and not rest else without_mention(text, bot)
        return said if said.strip() else (given.file_ids or "").partition(",")[0]
    if given.context is not None:
        return given.context.action or given.context.selected_option
    return None


def _id(given: Posted) -> str | None:
    """Return the id of the post; of a button or command, an id that is new for each press.

    A trigger id can open dialogs for some seconds, so only its hash is passed on.
    """
    if given.trigger_word is not None and given.command is None:
        return given.post_id
    if not given.trigger_id:
        return None
    return hashlib.sha256(given.trigger_id.encode(errors="replace")).hexdigest()
