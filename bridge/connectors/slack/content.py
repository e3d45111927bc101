"""What a Slack user typed, pressed or selected, as a text for the assistant.

Sources: https://docs.slack.dev/messaging/formatting-message-text (escaping, links, mentions) and
…/reference/interaction-payloads.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from bridge.connectors.toolkit.events import compact

REFERENCE = re.compile(r"<([^<>|]*)(?:\|([^<>]*))?>")
"""`<https://rasa.com|rasa.com>`, `<#C1|general>`, `<!here>`, `<@U1>`: what is meant, and its label.
Slack escapes each `<` and `>` that a user types."""
ESCAPES = {"amp": "&", "lt": "<", "gt": ">"}
ESCAPE = re.compile(r"&(amp|lt|gt);")


class File(Struct):
    id: str | None = None
    name: str | None = None
    mimetype: str | None = None
    url_private: str | None = None


class Option(Struct):
    value: str | None = None


class Action(Struct):
    type: str | None = None
    value: str | None = None
    selected_option: Option | None = None
    selected_options: list[Option] | None = None
    selected_conversation: str | None = None
    selected_conversations: list[str] | None = None
    selected_user: str | None = None
    selected_users: list[str] | None = None
    selected_channel: str | None = None
    selected_channels: list[str] | None = None
    selected_date: str | None = None
    selected_time: str | None = None
    selected_date_time: int | None = None
    action_ts: str | None = None


def selected(action: Action) -> str | None:
    """Return the value of an action of any type; several values are joined by commas."""
    option = action.selected_option or Option()
    one = (
        action.value,
        option.value,
        action.selected_conversation,
        action.selected_user,
        action.selected_channel,
        action.selected_date,
        action.selected_time,
    )
    for value in one:
        if value is not None:
            return value
    if action.selected_date_time is not None:
        return str(action.selected_date_time)
    if action.type == "select":
        # The menu of an old-style attachment allows only one option.
        return next((option.value for option in action.selected_options or []), None)
    several = (
        [option.value for option in action.selected_options or []],
        action.selected_users,
        action.selected_channels,
        action.selected_conversations,
    )
    return next((", ".join(filter(None, values)) for values in several if values), None)


def sanitized(text: str, users: list[str | None]) -> str:
    """Return a text as it was typed, without mentions of these users, as Rasa intends it."""
    for user in filter(None, users):
        mention = rf"<@{re.escape(user)}(?:\|[^<>]*)?>"
        text = re.sub(rf"{mention}\s", "", text)
        text = re.sub(rf"\s{mention}", "", text)
        text = re.sub(mention, " ", text)
    return decoded(REFERENCE.sub(_typed, text)).strip()


def decoded(text: str) -> str:
    """Return a text without the three escapes of Slack, decoded once: `&amp;lt;` is `&lt;`."""
    return ESCAPE.sub(lambda escape: ESCAPES[escape[1]], text)


def _typed(reference: re.Match[str]) -> str:
    """Return what the user typed for a reference; a mention without a name stays."""
    meant, label = reference[1], reference[2]
    if meant.startswith("@"):
        return f"@{label}" if label else reference[0]
    if meant.startswith("#"):
        return f"#{label}" if label else reference[0]
    if meant.startswith("!date^"):
        return label or meant
    if meant.startswith("!"):
        return label or f"@{meant[1:].partition('^')[0]}"
    return label or meant.removeprefix("mailto:").removeprefix("tel:")


def where(files: list[File]) -> str | None:
    """Return what a message says that has files and no text: where the first one is."""
    return next((f.url_private or f.name or f.id for f in files), None)


def about(files: list[File]) -> list[dict[str, Any]]:
    """Return files as metadata."""
    return [compact(id=f.id, name=f.name, mimetype=f.mimetype, url=f.url_private) for f in files]
