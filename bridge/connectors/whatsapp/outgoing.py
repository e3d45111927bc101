"""Sends replies as messages of the Cloud API.

Limits: https://developers.facebook.com/documentation/business-messaging/whatsapp/messages (text,
interactive reply buttons, interactive lists, interactive call-to-action URL buttons, media).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bridge.connectors.limits import RateLimit
from bridge.connectors.meta.graph import raise_for_graph
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.replies import (
    Button,
    as_text,
    buttons_as_texts,
    buttons_of,
    calls,
    dicts,
    part_of,
    parts,
    with_text_before,
)
from bridge.errors import RejectedDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import Reply

TEXT = 4096
"""Characters of a message, and of the text next to a list."""
BODY = 1024
"""Characters of the text next to buttons, and of a caption."""
BUTTONS, TITLE, PAYLOAD = 3, 20, 256
ROWS, ROW_TITLE, ROW_TEXT, ROW_PAYLOAD = 10, 24, 72, 200
PAIR = RateLimit(1 / 6, 45)
"""Messages to one user: one in six seconds, up to 45 at once, which borrow from the time after.
https://developers.facebook.com/docs/whatsapp/cloud-api/overview#pair-rate-limits"""
KINDS = ("text", "buttons", "image", "attachment", "custom")
"""Kinds that WhatsApp supports; the others are replaced by one of these."""
HEADER_IMAGE = "header_image"
"""Option of a part: the URL of the image above its buttons. Not `image`, which is an option of each
part of a response with an image; that one is a message."""
HAVE_HEADER = ("button", "cta_url")
"""Types of interactive messages that can have an image above them."""

FILES = {
    "audio": ("aac", "amr", "m4a", "mp3", "ogg", "opus"),
    "document": ("csv", "doc", "docx", "pdf", "ppt", "pptx", "txt", "xls", "xlsx"),
    "image": ("jpeg", "jpg", "png"),
    "video": ("3gp", "mp4"),
}
"""File extensions that WhatsApp fetches itself; any other URL is sent as text, as a link."""

RETRYABLE = frozenset({130429, 131000, 131016, 131048, 131056, 133004})
"""Temporary errors: overload, and rate limits of the number or the recipient."""
LIMITS = frozenset({130429, 131048})
"""Rate limits of the number; 131056 is that of the pair of number and recipient."""
UNAVAILABLE: frozenset[int | tuple[int, int]] = frozenset(
    {33, (100, 33), 131005, 131031, 131042, 131045, 131057, 133010}
)
"""Errors of every call: the number is unknown, not registered, locked, unpaid, …"""

raise_for_response = partial(
    raise_for_graph,
    service="WhatsApp",
    token_key="access_token",  # noqa: S106
    secret_key="app_secret",  # noqa: S106
    retryable=RETRYABLE,
    unavailable=UNAVAILABLE,
    limits=LIMITS,
)
"""Raises the error for a response of the Cloud API."""


async def deliver(
    reply: Reply,
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    list_title: str,
) -> None:
    """POST one part of a reply; raises as `Connector.deliver`.

    `list_title` is the label that opens a list of buttons.
    """
    body = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **address(reply.route.get("to") or reply.recipient_id),
        **message_of(reply, list_title),
    }
    response = await http.post_json(
        url, body, headers=headers, params=params, check=raise_for_response
    )
    receipts.accepted(response, "messages", 0, "id")


async def show_read_and_typing(
    http: HttpClient, url: str, headers: Mapping[str, str], params: Mapping[str, str], id: str
) -> None:
    """Show the user that a message (its id) was read and that the bot is typing."""
    body = {
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": id,
        "typing_indicator": {"type": "text"},
    }
    await http.post_json(url, body, headers=headers, params=params, check=raise_for_response)


def address(user: str) -> dict[str, str]:
    """Return the field that addresses a phone number, or a user without a known number."""
    return {"to" if re.fullmatch(r"\+?[\d ()-]+", user) else "recipient": user}


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call.

    Raises:
        RejectedDeliveryError: the content is not a list of objects.
    """
    if reply.kind == "quick_replies":
        reply = parts(reply, [{"kind": "buttons", "options": {}}])[0]
    if reply.kind == "elements":
        elements = [
            e for n, value in enumerate(dicts(reply.content)) for e in _element(reply, n, value)
        ]
        return [part for element in elements for part in split(element)]
    if reply.kind == "custom" and isinstance(reply.content, list):
        return parts(reply, ({"content": message} for message in reply.content))
    if reply.kind == "buttons" and buttons_of(reply):
        shape = shape_of(reply)
        if shape is None:
            return buttons_as_texts(reply, TEXT)
        return with_text_before(reply, TEXT if shape == "list" else BODY)
    return calls(reply, KINDS, TEXT)


def _element(reply: Reply, number: int, element: dict[str, Any]) -> list[Reply]:
    """Return the calls for an element: buttons with its text and image, or its image and text."""
    text = "\n".join(str(element[key]) for key in ("title", "subtitle") if element.get(key))
    image, buttons = element.get("image_url"), element.get("buttons")
    part = part_of(reply, number, kind="text", text=text, content=None, options={})
    if not buttons:
        return parts(part, [{"kind": "image", "content": image} if image else {}])
    below = parts(part, [{"kind": "buttons", "content": buttons}])[0]
    if not image:
        return [below]
    if shape_of(below) in HAVE_HEADER:
        return parts(below, [{"options": {HEADER_IMAGE: image}}])
    return [part_of(part, 0, kind="image", text=None, content=image), below]


def shape_of(reply: Reply) -> str | None:
    """Return the interactive type for buttons: `button`, `list`, `cta_url`, or None for text."""
    buttons = buttons_of(reply)
    if len(buttons) == 1 and buttons[0].url and reply.text:
        return "cta_url"
    if not (reply.text or "").strip() or any(b.url for b in buttons) or _ambiguous(buttons):
        return None
    longest = max(len(button.payload) for button in buttons)
    titles = max(len(button.title) for button in buttons)
    if len(buttons) <= BUTTONS and titles <= TITLE and longest <= PAYLOAD:
        return "button"
    return "list" if len(buttons) <= ROWS and longest <= ROW_PAYLOAD else None


def _ambiguous(buttons: list[Button]) -> bool:
    """Return whether two buttons share a payload or a title, which WhatsApp refuses."""
    return len({button.payload for button in buttons}) < len(buttons) or (
        len({button.title for button in buttons}) < len(buttons)
    )


def message_of(reply: Reply, list_title: str) -> dict[str, Any]:
    """Return the part of the body that depends on the kind.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    if reply.kind == "buttons":
        return {"type": "interactive", "interactive": _interactive(reply, list_title)}
    if reply.kind == "image":
        caption = {"caption": reply.text[:BODY]} if reply.text else {}
        return {"type": "image", "image": {"link": reply.content, **caption}}
    if reply.kind == "attachment":
        return _attachment(reply)
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: a message")
        return reply.content
    return {"type": "text", "text": {"body": reply.text}}


def _interactive(reply: Reply, list_title: str) -> dict[str, Any]:
    buttons, shape = buttons_of(reply), shape_of(reply)
    message: dict[str, Any] = {"type": shape, "body": {"text": reply.text}}
    if shape == "list":
        rows = [_row(button) for button in buttons]
        return {**message, "action": {"button": list_title, "sections": [{"rows": rows}]}}
    if reply.options.get(HEADER_IMAGE):
        message["header"] = {"type": "image", "image": {"link": reply.options[HEADER_IMAGE]}}
    if shape == "cta_url":
        link = {"display_text": cut(buttons[0].title, TITLE), "url": buttons[0].url}
        return {**message, "action": {"name": "cta_url", "parameters": link}}
    replies = [{"id": button.payload, "title": button.title} for button in buttons]
    return {**message, "action": {"buttons": [{"type": "reply", "reply": r} for r in replies]}}


def _row(button: Button) -> dict[str, str]:
    row = {"id": button.payload, "title": cut(button.title, ROW_TITLE)}
    if len(button.title) > ROW_TITLE:
        row["description"] = cut(button.title, ROW_TEXT)
    return row


def _attachment(reply: Reply) -> dict[str, Any]:
    """Return an object unchanged (a WhatsApp message), and the URL of a file as that file."""
    if isinstance(reply.content, dict):
        return reply.content
    url = urlsplit(str(reply.content))
    name = posixpath.basename(url.path)
    ending = name.rpartition(".")[2].lower()
    kind = next((kind for kind, endings in FILES.items() if ending in endings), None)
    if kind is None or url.scheme not in ("http", "https"):
        return {"type": "text", "text": {"body": as_text(reply)[:TEXT]}}
    file = {"link": reply.content, **({"filename": name} if kind == "document" else {})}
    return {"type": kind, kind: file}


def cut(text: str, limit: int) -> str:
    """Return a text, shortened to a limit."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
