"""A reply as the body of chat.postMessage.

The fields: https://developer.rocket.chat/apidocs/post-message.
"""

from __future__ import annotations

from typing import Any

from bridge.connectors.toolkit.replies import Button, as_text, button_of, buttons_of, dicts
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

TEXT = 5000
"""Characters of a message, unless the server's Message_MaxAllowedSize is another."""
KINDS = ("text", "buttons", "image", "attachment", "elements", "custom")
"""What Rocket.Chat has itself; quick replies become buttons."""


def message_body(reply: Reply) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: no call can be made of the reply's content.
    """
    body = {key: value for key, value in _content(reply).items() if value not in (None, "")}
    if not body.get("channel"):
        body.setdefault("roomId", reply.recipient_id)
        if reply.route.get("tmid"):
            body.setdefault("tmid", reply.route["tmid"])
    return body


def _content(reply: Reply) -> dict[str, Any]:
    if reply.kind == "custom":
        return _custom(reply.content)
    if reply.kind == "image":
        return {"attachments": [{"image_url": reply.content, "collapsed": False}]}
    if reply.kind == "attachment":
        # Rocket.Chat's own form is an object; a URL, which other channels take, becomes a text.
        own = isinstance(reply.content, dict)
        return {"attachments": [reply.content]} if own else {"text": as_text(reply)}
    if reply.kind == "elements":
        return {"attachments": [_element(element) for element in dicts(reply.content)]}
    if reply.kind == "buttons":
        actions = [_button(button) for button in buttons_of(reply)]
        return {"text": reply.text, "attachments": [{"actions": actions}]}
    return {"text": reply.text}


def _custom(content: Any) -> dict[str, Any]:
    """`room_id` is what Rasa's client calls `roomId`."""
    if not isinstance(content, dict):
        raise RejectedDeliveryError("a custom reply must be an object: chat.postMessage's")
    body = dict(content)
    room = body.pop("room_id", None)
    if room and not body.get("channel"):
        body.setdefault("roomId", room)
    return body


def _element(element: dict[str, Any]) -> dict[str, Any]:
    """Return an attachment; what generic elements call otherwise is renamed."""
    own = {key: value for key, value in element.items() if key not in ("subtitle", "buttons")}
    if element.get("subtitle"):
        own.setdefault("text", element["subtitle"])
    buttons = [b for b in dicts(element.get("buttons") or []) if b.get("title")]
    if buttons:
        own.setdefault("actions", [_button(button_of(button)) for button in buttons])
    return own


def _button(button: Button) -> dict[str, Any]:
    action: dict[str, Any] = {"text": button.title, "type": "button"}
    if button.url:
        return {**action, "url": button.url}
    return {**action, "msg": button.payload, "msg_in_chat_window": True}
