"""What a Slack user typed, pressed or selected, as a text for the assistant.

Sources: https://docs.slack.dev/messaging/formatting-message-text (escaping, links, mentions) and
…/reference/interaction-payloads.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from bridge.connectors.toolkit.events import compact, converted

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


class Shared(Struct):
    """A message that the user forwards, or a preview of a link."""

    is_share: bool = False
    text: str | None = None
    fallback: str | None = None
    author_name: str | None = None
    channel_id: str | None = None
    ts: str | None = None
    from_url: str | None = None
    files: list[File] | None = None


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
    rich_text_value: dict[str, Any] | None = None
    files: list[File] | None = None
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
    if action.rich_text_value is not None:
        return _plain(action.rich_text_value)
    if action.type == "select":
        # The menu of an old-style attachment allows only one option.
        return next((option.value for option in action.selected_options or []), None)
    several = (
        [option.value for option in action.selected_options or []],
        action.selected_users,
        action.selected_channels,
        action.selected_conversations,
    )
    chosen = next((", ".join(filter(None, values)) for values in several if values), None)
    return chosen or where(action.files or [])


def _plain(rich: Any) -> str:
    """Return the text of a rich text, which nests elements."""
    if isinstance(rich, list):
        return "".join(map(_plain, rich))
    if not isinstance(rich, dict):
        return ""
    text = rich.get("text") or rich.get("url")
    return text if isinstance(text, str) else _plain(rich.get("elements"))


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


def forwarded(attachments: list[Any]) -> list[Shared]:
    """Return the messages that a user forwards; the other attachments are previews of links."""
    found = (converted(attachment, Shared) for attachment in attachments)
    return [one for one in found if one is not None and one.is_share]


def said_by(shared: list[Shared]) -> str | None:
    """Return what a message says that forwards others and has no text: the first one's text."""
    files = [file for one in shared for file in one.files or []]
    return next(filter(None, map(_text_of, shared)), None) or where(files)


def _text_of(shared: Shared) -> str:
    return sanitized(shared.text or shared.fallback or "", [])


def about_shared(shared: list[Shared]) -> list[dict[str, Any]]:
    """Return forwarded messages as metadata."""
    return [
        compact(
            text=_text_of(one) or None,
            author=one.author_name,
            channel=one.channel_id,
            ts=one.ts,
            url=one.from_url,
            files=about(one.files) if one.files else None,
        )
        for one in shared
    ]


def about(files: list[File]) -> list[dict[str, Any]]:
    """Return files as metadata."""
    return [compact(id=f.id, name=f.name, mimetype=f.mimetype, url=f.url_private) for f in files]
