"""Prepares replies for a service: splits texts, replaces kinds that it lacks, reads buttons.

The replacements are those of Rasa's `OutputChannel` (rasa/core/channels/channel.py, 3.6). No HTTP.
"""

from __future__ import annotations

import hashlib
import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

Length = Callable[[str], int]
"""Measures a text in the unit of a service's limit: characters, bytes, UTF-16 code units."""
Fits = Callable[[Reply], bool]
"""Returns whether a service accepts the buttons of a reply."""


@dataclass(frozen=True)
class Button:
    """One button or quick reply of a response."""

    title: str
    payload: str
    """The text that a press sends to Rasa; defaults to the title."""
    url: str | None = None
    """Set if a press opens this URL and sends nothing."""
    details: dict[str, Any] = field(default_factory=dict)
    """All other keys."""


def part_of(reply: Reply, number: int, **changes: Any) -> Reply:
    """Return part `number` of a reply. Its id is the same at every attempt."""
    return msgspec.structs.replace(reply, id=f"{reply.id}.{number}", **changes)


def parts(reply: Reply, pieces: Iterable[dict[str, Any]]) -> list[Reply]:
    """Return one part of a reply per dict of changes; a single part keeps the reply's id."""
    changes = list(pieces)
    if len(changes) == 1:
        if all(getattr(reply, name) == value for name, value in changes[0].items()):
            return [reply]
        return [msgspec.structs.replace(reply, **changes[0])]
    return [part_of(reply, n, **change) for n, change in enumerate(changes)]


PARTS = ("quick_replies", "buttons", "text", "custom", "image", "attachment", "elements")
"""The parts of a response, in Rasa's order. Of the first three, Rasa sends one."""


def pieces(reply: Reply) -> list[Reply]:
    """Return a whole response as one reply per part, in Rasa's order.

    A channel of ours receives one if it was a wrapped channel when the turn ran.
    """
    response: dict[str, Any] = {key: value for key, value in reply.content.items() if value}
    text = response.get("text")
    options = {key: value for key, value in response.items() if key not in PARTS}
    found: list[dict[str, Any]] = []
    spoken = next((kind for kind in PARTS[:3] if kind in response), None)
    if spoken:
        content = None if spoken == "text" else response[spoken]
        found.append({"kind": spoken, "text": text or "", "content": content})
    found += [{"kind": kind, "content": response[kind]} for kind in PARTS[3:] if kind in response]
    return parts(reply, ({"options": options, **piece} for piece in found))


def paragraphs(reply: Reply) -> Iterable[Reply]:
    """Split a text at blank lines, as Rasa's output channels do; leave other kinds whole.

    Unlike Rasa, leave out empty parts: a text of white space results in no call.
    """
    if reply.kind != "text":
        return [reply]
    text = (reply.text or "").strip()
    if text and text == reply.text and "\n\n" not in text:
        return [reply]
    pieces = [piece for piece in text.split("\n\n") if piece.strip()]
    return parts(reply, ({"text": text} for text in pieces))


def calls(
    reply: Reply,
    native: Iterable[str],
    limit: int,
    length: Length = len,
    button_limit: int | None = None,
    fits: Fits = lambda _: True,
) -> list[Reply]:
    """Return one reply per call to a service that supports the `native` kinds.

    Other kinds are replaced as in Rasa's `OutputChannel`: quick replies by buttons, each element by
    a text with buttons, buttons by lines of text, everything else by a text. No text is blank or
    longer than `limit` (next to buttons: `button_limit`), measured by `length`, in characters by
    default. Buttons for which `fits` returns False become lines of text.

    Raises:
        RejectedDeliveryError: elements or buttons are not a list of objects.
    """
    own = frozenset(native)
    if reply.kind == "elements" and "elements" not in own:
        elements = elements_as_buttons(reply)
        return [p for e in elements for p in calls(e, own, limit, length, button_limit, fits)]
    if reply.kind == "quick_replies" and "quick_replies" not in own:
        reply = msgspec.structs.replace(reply, kind="buttons", options={})
    if reply.kind in ("buttons", "quick_replies"):
        if reply.kind in own and buttons_of(reply) and fits(reply):
            return with_text_before(reply, button_limit or limit, length)
        return buttons_as_texts(reply, limit, length)
    if reply.kind in own and reply.kind != "text":
        return [reply]
    text = (reply.text or "") if reply.kind == "text" else as_text(reply)
    return texts(reply, text.strip().split("\n\n"), limit, length)


def texts(reply: Reply, lines: Iterable[str], limit: int, length: Length = len) -> list[Reply]:
    """Return a reply as texts, each split at the limit; blank texts are left out."""
    pieces = (piece for line in lines for piece in split_text(line, limit, length))
    return parts(reply, ({"kind": "text", "content": None, "text": piece} for piece in pieces))


def buttons_as_texts(reply: Reply, limit: int, length: Length = len) -> list[Reply]:
    """Return the text of a reply with buttons, followed by one text per button."""
    lines = [button_line(button, n) for n, button in enumerate(buttons_of(reply), 1)]
    return texts(reply, [*(reply.text or "").strip().split("\n\n"), *lines], limit, length)


def with_text_before(reply: Reply, limit: int, length: Length = len) -> list[Reply]:
    """Split the text of a reply with buttons at a limit; the last piece keeps the buttons."""
    *before, last = list(split_text(reply.text or "", limit, length)) or [""]
    first = [{"kind": "text", "content": None, "text": piece} for piece in before]
    return parts(reply, [*first, {"text": last}])


def elements_as_buttons(reply: Reply) -> list[Reply]:
    """Return each element as in Rasa: a text `title : subtitle` with its buttons.

    Raises:
        RejectedDeliveryError: the elements are not a list of objects.
    """
    return [
        part_of(
            reply,
            n,
            kind="buttons",
            text=f"{element.get('title', '')} : {element.get('subtitle', '')}",
            content=element.get("buttons") or [],
            options={},
        )
        for n, element in enumerate(dicts(reply.content))
    ]


def as_text(reply: Reply) -> str:
    """Return the text by which Rasa replaces an image, an attachment or a custom reply."""
    if reply.kind == "image":
        return f"Image: {reply.content}"
    if reply.kind == "attachment":
        return f"Attachment: {reply.content}"
    return json.dumps(reply.content)


def button_line(button: Button, number: int) -> str:
    """Return a button as a line of text, as Rasa's `button_to_string`: `1: Yes (/affirm)`."""
    payload = f" ({button.payload})" if button.payload else ""
    details = f" - {json.dumps(button.details, sort_keys=True)}" if button.details else ""
    return f"{number}: {button.title}{payload}{details}"


def buttons_of(reply: Reply) -> list[Button]:
    """Return the buttons or quick replies of a reply; those without a title are left out.

    Rows of buttons, as in Telegram's reply keyboard, are flattened.

    Raises:
        RejectedDeliveryError: the content is not a list of objects.
    """
    content = reply.content
    if isinstance(content, list):
        rows = [row if isinstance(row, list) else [row] for row in content]
        content = [button for row in rows for button in row]
    return [button_of(value) for value in dicts(content) if value.get("title")]


def button_of(value: dict[str, Any]) -> Button:
    title, payload, url = str(value["title"]), value.get("payload"), value.get("url")
    if payload is not None and value.get("type") != "web_url":
        url = None
    return Button(
        title,
        title if payload is None else str(payload),
        None if url is None else str(url),
        {k: v for k, v in value.items() if k not in ("title", "payload")},
    )


def dicts(content: Any) -> list[dict[str, Any]]:
    """Return a reply's content, which must be a list of JSON objects.

    Raises:
        RejectedDeliveryError: it is not.
    """
    if isinstance(content, list) and all(isinstance(item, dict) for item in content):
        return content
    raise RejectedDeliveryError("the assistant's response is malformed: not a list of objects")


def split_text(text: str, limit: int, length: Length = len) -> Iterator[str]:
    """Yield the pieces of a text; none is blank or longer than the limit.

    A piece ends at a paragraph, else at a line, else at a word, else inside a word, but never
    inside a combined character (accents, flags, emoji sequences).
    """
    text = text.strip()
    while length(text) > limit:
        end = _longest(text, limit, length)
        cut = max(end, 1)
        for separator in ("\n\n", "\n", " "):
            # Not in the first half: a heading should not be sent on its own.
            at = text.rfind(separator, end // 2, end + len(separator))
            if at > 0:
                cut = at
                break
        else:
            while cut > max(1, end // 2) and _joined(text[cut - 1], text[cut]):
                cut -= 1
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    if text:
        yield text


def utf16_length(text: str) -> int:
    """Return the UTF-16 code units of a text, which services written in Java or C++ count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _longest(text: str, limit: int, length: Length) -> int:
    """Return the largest index up to which a text is not longer than the limit."""
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(text[:middle]) <= limit else (low, middle - 1)
    return low


_JOINER = "\u200d"


def _joined(before: str, after: str) -> bool:
    """Return whether two characters are drawn as one: marks, variants, skin tones, emoji."""
    return (
        _JOINER in (before, after)
        or "\u0300" <= after <= "\u036f"
        or "\ufe00" <= after <= "\ufe0f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
        or ("\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff")
    )


def idempotency_key(reply: Reply) -> str:
    """Return the reply's identity in printable ASCII, at most 255 characters, for an HTTP header.

    It is `<id>-<digest of the content>`: equal for every copy of a reply, in every process, and
    different if a turn that runs again says something else under the same id.
    """
    key = reply.identity
    if len(key) <= 255 and key.isascii() and key.isprintable():
        return key
    return hashlib.sha256(key.encode()).hexdigest()


MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
"""Errors of connector code that meets a response of an unexpected shape."""


def malformed(error: Exception) -> RejectedDeliveryError:
    """Return the error for a reply that cannot be turned into calls; it quotes no content."""
    line = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(line.filename)}:{line.lineno}"
    return RejectedDeliveryError(
        f"the assistant's response cannot be turned into a call: {type(error).__name__} at {where}"
    )
