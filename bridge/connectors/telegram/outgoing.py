"""Sends replies through the Bot API: one method call per reply.

Limits: https://core.telegram.org/bots/api#sendmessage and #inlinekeyboardbutton.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bridge.connectors.limits import RateLimit
from bridge.connectors.toolkit.replies import Button, button_of, buttons_of, calls, utf16_length
from bridge.errors import (
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
    finite,
)
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import Reply

TEXT = 4096
"""UTF-16 code units of a message."""
ROW = 8
"""Buttons in a row; Telegram accepts no more."""
BUTTONS = 100
"""Buttons next to a text."""
DATA = 64
"""Bytes that a button can send."""
CHAT = RateLimit(1)
"""Messages to one chat, and below those to one group: 20 a minute, five of them at once.
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
GROUP = RateLimit(15 / 60, 5)
PLACES = frozenset(
    {
        *("message_thread_id", "direct_messages_topic_id"),
        *("ephemeral_message_parameters", "reply_parameters"),
    }
)
"""Parameters of a route; the methods that do not know one ignore it."""
KINDS = ("text", "buttons", "image", "custom")
"""Kinds that Telegram supports; the others are replaced as in Rasa."""

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
"""Keys of a custom reply → method to call; the first entry whose keys are all present applies."""


def limits_of(chat: str) -> tuple[RateLimit, ...]:
    """Return the limits of a chat; the ids of groups and channels are negative."""
    return (CHAT, GROUP) if chat.startswith("-") else (CHAT,)


class ChatMigrated(RejectedDeliveryError):
    """The group has become a supergroup, which has another id."""

    def __init__(self, chat_id: int) -> None:
        super().__init__("Telegram: the group has another id now")
        self.chat_id = chat_id


async def deliver(reply: Reply, http: HttpClient, url: str) -> None:
    """Send one part of a reply to the Bot API at `url`; raises as `Connector.deliver`.

    A reply to a group that has become a supergroup is sent there.
    """
    method, body = call_of(reply)
    try:
        await call(http, url, method, body)
    except ChatMigrated as moved:
        await call(http, url, method, {**body, "chat_id": moved.chat_id})


async def call(http: HttpClient, url: str, method: str, body: dict[str, Any]) -> None:
    """Call a method of the Bot API."""
    await http.post_json(f"{url}/{method}", body, check=raise_for_response)


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call; buttons that Telegram would refuse become lines of text."""
    return calls(reply, KINDS, TEXT, utf16_length, fits=fits)


def fits(reply: Reply) -> bool:
    """Return whether Telegram accepts the buttons of a reply."""
    if not (reply.text or "").strip():
        return False
    if reply.options.get("button_type") == "reply":
        return True  # such buttons send their titles
    buttons = buttons_of(reply)
    sizes = [len(b.payload.encode(errors="replace")) for b in buttons if not b.url]
    return len(buttons) <= BUTTONS and max(sizes, default=0) <= DATA


def call_of(reply: Reply) -> tuple[str, dict[str, Any]]:
    """Return the method and its body.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    place = {key: reply.route[key] for key in PLACES & reply.route.keys()}
    chat = {"chat_id": reply.recipient_id, **place}
    if reply.kind == "custom":
        return _custom(chat, reply.content)
    if reply.kind == "image":
        return "sendPhoto", {**chat, "photo": reply.content}
    if reply.kind == "buttons":
        return "sendMessage", {**chat, "text": reply.text, "reply_markup": _keyboard(reply)}
    return "sendMessage", {**chat, "text": reply.text}


def _custom(chat: dict[str, Any], content: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(content, dict):
        raise RejectedDeliveryError("a custom reply must be an object: the parameters of a method")
    given = {key: value for key, value in content.items() if value is not None}
    # A topic belongs to the chat of the user's message.
    place = {} if "chat_id" in given else chat
    for keys, method in METHODS.items():
        if all(key in given for key in keys):
            return method, {**place, **given}
    raise RejectedDeliveryError(f"no method of the Bot API has the parameters {sorted(given)}")


def _keyboard(reply: Reply) -> dict[str, Any]:
    """Return the keyboard for Rasa's `button_type`: inline (side by side), vertical or reply."""
    kind = reply.options.get("button_type") or "inline"
    if kind == "reply":
        rows = [row if isinstance(row, list) else [row] for row in reply.content]
        return {
            "keyboard": [[{"text": button_of(b).title} for b in row] for row in rows],
            "resize_keyboard": False,
            "one_time_keyboard": True,
        }
    if kind not in ("inline", "vertical"):
        raise RejectedDeliveryError("button_type must be inline, vertical or reply")
    buttons = [_button(button) for button in buttons_of(reply)]
    size = 1 if kind == "vertical" else ROW
    return {"inline_keyboard": [buttons[n : n + size] for n in range(0, len(buttons), size)]}


def _button(button: Button) -> dict[str, str]:
    if button.url:
        return {"text": button.title, "url": button.url}
    return {"text": button.title, "callback_data": button.payload}


def raise_for_response(response: Response) -> None:
    """Raise the error for a response of the Bot API.

    A wait concerns the recipient: Telegram limits each chat and the bot as a whole
    (https://core.telegram.org/bots/faq), and does not tell which limit was reached.
    """
    if response.status in (401, 404):
        raise ServiceUnavailable(f"Telegram: HTTP {response.status}", fix="check 'access_token'")
    answer = response.json_object()
    if answer.get("ok") is True and response.status == 200:
        return
    parameters = answer.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    moved = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    if isinstance(moved, int):
        raise ChatMigrated(moved)
    if finite(seconds) is not None:
        raise RetryableDeliveryError("Telegram: too many requests", retry_after=seconds)
    if response.status in (400, 403):
        # The description may quote the user's text.
        problem = re.sub(r'".*"', '"…"', str(answer.get("description")), flags=re.DOTALL)
        raise RejectedDeliveryError(f"Telegram: {problem[:120]}")
    raise_for_status(response)
    raise RetryableDeliveryError("Telegram: the response is neither a success nor an error")
