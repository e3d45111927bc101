"""A reply as a call of the Bot API: a method and its body.

Limits: https://core.telegram.org/bots/api#sendmessage and #inlinekeyboardbutton.
"""

from __future__ import annotations

from typing import Any

from bridge.connectors.toolkit.replies import Button, button_of, buttons_of
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

TEXT = 4096
"""UTF-16 code units of a message."""
ROW = 8
"""Buttons that fit beside each other; Telegram takes no more in a row."""
KINDS = ("text", "buttons", "image", "custom")
"""What Telegram has itself; the rest becomes what Rasa makes of it."""

METHODS: dict[tuple[str, ...], str] = {
    ("text",): "sendMessage",
    ("photo",): "sendPhoto",
    ("audio",): "sendAudio",
    ("document",): "sendDocument",
    ("sticker",): "sendSticker",
    ("video",): "sendVideo",
    ("video_note",): "sendVideoNote",
    ("animation",): "sendAnimation",
    ("voice",): "sendVoice",
    ("media",): "sendMediaGroup",
    ("latitude", "longitude", "title", "address"): "sendVenue",
    ("latitude", "longitude"): "sendLocation",
    ("phone_number", "first_name"): "sendContact",
    ("game_short_name",): "sendGame",
    ("action",): "sendChatAction",
    ("question", "options"): "sendPoll",
    ("title", "description", "payload", "currency", "prices"): "sendInvoice",
}
"""The keys of a custom reply that make it a call of a method; the first that fits is taken."""


def call_of(reply: Reply) -> tuple[str, dict[str, Any]]:
    """Return method and body.

    Raises:
        RejectedDeliveryError: no call can be made of the reply's content.
    """
    chat = {"chat_id": reply.recipient_id}
    if reply.kind == "custom":
        return _custom(chat, reply.content)
    if reply.kind == "image":
        return "sendPhoto", {**chat, "photo": reply.content}
    if reply.kind == "buttons":
        return "sendMessage", {**chat, "text": reply.text, "reply_markup": _keyboard(reply)}
    return "sendMessage", {**chat, "text": reply.text}


def _custom(chat: dict[str, Any], content: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(content, dict):
        raise RejectedDeliveryError("a custom reply must be an object: the keys of a method")
    given = {key: value for key, value in content.items() if value is not None}
    for keys, method in METHODS.items():
        if all(key in given for key in keys):
            return method, {**chat, **given}
    raise RejectedDeliveryError(f"no method of the Bot API takes the keys {sorted(given)}")


def _keyboard(reply: Reply) -> dict[str, Any]:
    """Return the keyboard of Rasa's `button_type`: inline (beside each other), vertical, reply."""
    kind = reply.options.get("button_type") or "inline"
    if kind == "reply":
        rows = [row if isinstance(row, list) else [row] for row in reply.content]
        return {
            "keyboard": [[{"text": button_of(b).title} for b in row] for row in rows],
            "resize_keyboard": False,
            "one_time_keyboard": True,
        }
    if kind not in ("inline", "vertical"):
        raise RejectedDeliveryError("button_type is none of inline, vertical and reply")
    buttons = [_button(button) for button in buttons_of(reply)]
    size = 1 if kind == "vertical" else ROW
    return {"inline_keyboard": [buttons[n : n + size] for n in range(0, len(buttons), size)]}


def _button(button: Button) -> dict[str, str]:
    if button.url:
        return {"text": button.title, "url": button.url}
    return {"text": button.title, "callback_data": button.payload}
