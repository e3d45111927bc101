"""A reply as the body of chat.postMessage, within the limits of Block Kit.

Limits: https://docs.slack.dev/reference/block-kit/blocks and
https://docs.slack.dev/reference/methods/chat.postMessage.
"""

from __future__ import annotations

from typing import Any

from bridge.connectors.toolkit.replies import Button, as_text, buttons_of
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

TEXT = 4000
"""Characters of a message; above it Slack breaks a text itself, above 40,000 it cuts it off."""
SECTION = 3000
"""Characters of the text beside buttons."""
BUTTONS = 25
"""Buttons of one block."""
TITLE = 75
"""Characters of a button's title."""
KINDS = ("text", "buttons", "image", "attachment", "custom")
"""What Slack has itself; the rest becomes what Rasa makes of it."""


def message_body(reply: Reply, channel: str, thread: str | None) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: no call can be made of the reply's content.
    """
    body = {"as_user": True, "channel": channel, **_content(reply)}
    if thread:
        body.setdefault("thread_ts", thread)
    return body


def _content(reply: Reply) -> dict[str, Any]:
    if reply.kind == "buttons":
        return {"text": reply.text, "blocks": _blocks(reply)}
    if reply.kind == "image":
        url = str(reply.content)
        image = {"type": "image", "image_url": url, "alt_text": url}
        return {"text": url, "blocks": [image]}
    if reply.kind == "attachment":
        return _attachment(reply)
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: chat.postMessage's")
        return {key: value for key, value in reply.content.items() if value is not None}
    return {"text": reply.text, "type": "mrkdwn"}


def _attachment(reply: Reply) -> dict[str, Any]:
    """Slack's own form is an object; a URL, which other channels take, becomes a text."""
    if not isinstance(reply.content, dict):
        return {"text": as_text(reply)}
    options = {k: v for k, v in reply.options.items() if v is not None and k != "utter_action"}
    return {"attachments": [reply.content], **options}


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    buttons = [_button(button) for button in buttons_of(reply)]
    rows = [buttons[n : n + BUTTONS] for n in range(0, len(buttons), BUTTONS)]
    blocks: list[dict[str, Any]] = [{"type": "actions", "elements": row} for row in rows]
    if reply.text:
        text = {"type": "plain_text", "text": reply.text}
        blocks.insert(0, {"type": "section", "text": text})
    return blocks


def _button(button: Button) -> dict[str, Any]:
    title = button.title if len(button.title) <= TITLE else f"{button.title[: TITLE - 1]}…"
    element = {"type": "button", "text": {"type": "plain_text", "text": title}}
    return {**element, "url": button.url} if button.url else {**element, "value": button.payload}
