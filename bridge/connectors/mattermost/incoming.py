"""What Mattermost posts, and what a user says by it. Wrong types are refused by the shapes.

The shapes, by the server's own source (server/public/model and server/channels/app):
OutgoingWebhookPayload (JSON or form), PostActionIntegrationRequest (JSON), the form of a custom
slash command.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from bridge.connectors.toolkit.request import Request
from bridge.errors import RequestRejected


class Context(Struct):
    """What a button was given; Mattermost shows it to nobody."""

    action: str | None = None
    selected_option: str | None = None
    token: str | None = None


class Posted(Struct):
    """Any of the three. `trigger_word` is of a webhook only, `context` of a button or menu."""

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
class Said:
    id: str | None
    user: str
    channel: str
    text: str
    metadata: dict[str, Any]


def posted(request: Request) -> Posted:
    """Return what was posted.

    Raises:
        RequestRejected: 400 or 415, it is neither JSON nor a form of the expected shape.
    """
    if request.content_type == "application/json":
        return request.decode(Posted)
    if request.content_type == "application/x-www-form-urlencoded":
        fields = {key: value for key, value in request.form().items() if key != "context"}
        return msgspec.convert(fields, Posted)
    raise RequestRejected(415, "send application/json or application/x-www-form-urlencoded")


def said(given: Posted) -> Said | None:
    """Return what a user says, or None: files without a text, other requests.

    Raises:
        RequestRejected: 400, there is no user or no channel.
    """
    text = _text(given)
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
    return Said(_id(given), given.user_id, given.channel_id, text, metadata)


def _text(given: Posted) -> str | None:
    if given.command is not None:
        return given.text if given.text and given.text.strip() else given.command
    if given.trigger_word is not None:
        _, *rest = (given.text or "").split(None, 1) or [""]
        # The first word only addresses the bot, unless it is all there is.
        return rest[0] if given.trigger_word and rest else given.text
    if given.context is not None:
        return given.context.action or given.context.selected_option
    return None


def _id(given: Posted) -> str | None:
    """Return the post, or of a button or command what is new at each press.

    A trigger id opens dialogs for some seconds: it is no id to pass on as it is.
    """
    if given.trigger_word is not None and given.command is None:
        return given.post_id
    if not given.trigger_id:
        return None
    return hashlib.sha256(given.trigger_id.encode(errors="replace")).hexdigest()
