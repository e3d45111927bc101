"""What a Telegram message says: its text for the assistant, and metadata about its content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, to_builtins

from bridge.connectors.telegram.kinds import FILES, OBJECTS

DEEPEST = 20
"""Levels of a rich message that are read; Telegram allows 16."""
SAYING = ("text", "alternative_text", "expression")
"""Fields of a rich text: those of an emoji and of a formula differ."""
TEXTS = ("summary", "caption", "credit")
BLOCKS = ("blocks", "items", "cells")
"""Fields of a block of a rich message: further texts, and blocks."""
PARTS = ("location", "venue", "contact", "dice", "web_app_data")
"""Fields of a message that are objects."""


class Location(Struct, omit_defaults=True):
    longitude: int | float
    latitude: int | float
    horizontal_accuracy: int | float | None = None
    live_period: int | None = None
    heading: int | None = None


class Venue(Struct, omit_defaults=True):
    title: str | None = None
    address: str | None = None
    foursquare_id: str | None = None
    google_place_id: str | None = None


class Contact(Struct, omit_defaults=True):
    phone_number: str
    first_name: str | None = None
    last_name: str | None = None
    user_id: int | None = None
    vcard: str | None = None


class Dice(Struct, omit_defaults=True):
    emoji: str
    value: int | None = None


class WebAppData(Struct, omit_defaults=True):
    data: str
    button_text: str | None = None


class File(Struct):
    file_id: str
    file_unique_id: str | None = None
    """The same each time that the file is sent, unlike `file_id`."""
    emoji: str | None = None
    """Of a sticker."""


class Content(Struct):
    """The fields of a message that say something; one of them is present, or a file and a text."""

    text: str | None = None
    caption: str | None = None
    location: Location | None = None
    venue: Venue | None = None
    contact: Contact | None = None
    dice: Dice | None = None
    web_app_data: WebAppData | None = None
    rich_message: Any = None
    """Instead of a text: paragraphs, lists, tables, … in blocks."""
    photo: list[File] | None = None
    live_photo: File | None = None
    animation: File | None = None
    audio: File | None = None
    document: File | None = None
    sticker: File | None = None
    video: File | None = None
    video_note: File | None = None
    voice: File | None = None
    successful_payment: dict[str, Any] | None = None
    users_shared: dict[str, Any] | None = None
    chat_shared: dict[str, Any] | None = None

    def files(self) -> dict[str, File]:
        """Return the files by their kind; of a photo, its largest size."""
        found = {kind: getattr(self, kind) for kind in FILES}
        largest = {"photo": self.photo[-1]} if self.photo else {"photo": None}
        return {kind: file for kind, file in {**found, **largest}.items() if file is not None}


COMMAND = re.compile(r"/\w+@(\w+)")


def text_of(content: Content, bot: str) -> str | None:
    """Return the text for the assistant; '' for a bare mention, None if nothing is said.

    It is the text or caption, else what the content's kind says: see docs/how-to/channels.
    """
    typed = content.text if content.text is not None else content.caption
    if typed is None:
        typed = "\n".join(filter(None, lines_of(content.rich_message))) or None
    if typed is not None:
        return sanitized(typed, bot) or next(_ids(content), "")
    if content.location is not None:
        at = content.location
        return f'{{"lng":{at.longitude}, "lat":{at.latitude}}}'
    if content.contact is not None:
        return content.contact.phone_number
    if content.dice is not None:
        return content.dice.emoji
    if content.web_app_data is not None:
        return content.web_app_data.data
    for kind in OBJECTS:
        if getattr(content, kind) is not None:
            return json.dumps(getattr(content, kind))
    return next(_ids(content), None)


def lines_of(block: Any, depth: int = 0) -> Iterator[str]:
    """Yield the lines of a rich message, whose blocks contain blocks."""
    if depth > DEEPEST:
        return
    if isinstance(block, list):
        for one in block:
            yield from lines_of(one, depth + 1)
    elif isinstance(block, dict):
        yield _plain(block)
        for name in TEXTS:
            yield _plain(block.get(name))
        for name in BLOCKS:
            yield from lines_of(block.get(name), depth + 1)


def _plain(rich: Any, depth: int = 0) -> str:
    """Return a rich text without its formats: a string, a list of parts, or an object with one."""
    if isinstance(rich, str) or depth > DEEPEST:
        return rich if isinstance(rich, str) else ""
    if isinstance(rich, list):
        return "".join(_plain(part, depth + 1) for part in rich)
    if isinstance(rich, dict):
        said = next((rich[name] for name in SAYING if rich.get(name)), None)
        return _plain(said, depth + 1)
    return ""


def _ids(content: Content) -> Any:
    return (file.emoji or file.file_id for file in content.files().values())


def about(content: Content) -> dict[str, Any]:
    """Return metadata about a message's content, by Telegram's names."""
    objects = {kind: getattr(content, kind) for kind in (*PARTS, *OBJECTS)}
    known = {kind: to_builtins(value) for kind, value in objects.items() if value is not None}
    return {**known, **{kind: file.file_id for kind, file in content.files().items()}}


def sanitized(text: str, bot: str) -> str:
    """Return a text without what only addresses the bot.

    These are the command `/bot` (as in Rasa, but not inside other words) and `@name` in groups,
    also in `/start@name`, which Rasa would read as a confidence.
    """
    text = re.sub(r"^/bot(?![\w-])", "", text)
    if bot:
        mention = rf"(?<!\w\.)@{re.escape(bot)}(?!\w)"
        # Between two words, one space goes with it.
        text = re.sub(rf"(?<=\s){mention}\s?|{mention}", "", text, flags=re.IGNORECASE)
    return text.strip()


def is_for_another(content: Content, bot: str) -> bool:
    """Return whether it is a command to another bot of the group: `/start@another_bot`."""
    command = COMMAND.match(content.text or content.caption or "")
    return command is not None and bool(bot) and command[1].lower() != bot.lower()
