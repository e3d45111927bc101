"""A reply as the body of POST /posts.

Limits: https://developers.mattermost.com/api-documentation/ and the server's MaxPostSize.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from typing import Any

from bridge.connectors.toolkit.replies import buttons_of
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

TEXT = 16383
"""Characters of a post."""
KINDS = ("text", "buttons", "image", "custom")
"""What Mattermost has itself; the rest becomes what Rasa makes of it."""


def post_body(reply: Reply, webhook_url: str | None, secret: str | None) -> dict[str, Any]:
    """Return the body of the call. Its buttons are signed if there is a secret.

    Raises:
        RejectedDeliveryError: no call can be made of the reply's content.
    """
    body = _content(reply, webhook_url)
    channel = reply.route.get("channel_id")
    if channel:
        body.setdefault("channel_id", channel)
    if reply.route.get("root_id"):
        body.setdefault("root_id", reply.route["root_id"])
    if not body.get("channel_id"):
        raise RejectedDeliveryError("no channel is known: say in custom JSON which 'channel_id'")
    if secret:
        _sign(body, webhook_url, secret)
    return body


def signature(secret: str, action: str | None) -> str:
    """Return what proves that a button is ours: Mattermost sends its context back unchanged."""
    text = (action or "").encode(errors="replace")
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _content(reply: Reply, webhook_url: str | None) -> dict[str, Any]:
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: the body of a post")
        return {"message": "", **copy.deepcopy(reply.content)}
    if reply.kind == "image":
        return {"props": {"attachments": [{"image_url": reply.content}]}}
    if reply.kind == "buttons":
        return _buttons(reply, webhook_url)
    return {"message": reply.text}


def _buttons(reply: Reply, webhook_url: str | None) -> dict[str, Any]:
    """Mattermost has no buttons that open a link: such a one is a link in the text."""
    buttons = buttons_of(reply)
    links = [f"[{button.title}]({button.url})" for button in buttons if button.url]
    actions = [
        {
            "name": button.title,
            "integration": {"url": webhook_url, "context": {"action": button.payload}},
        }
        for button in buttons
        if not button.url
    ]
    message = "\n".join([*([reply.text] if reply.text else []), *links])
    if not actions:
        return {"message": message}
    return {"message": message, "props": {"attachments": [{"actions": actions}]}}


def _sign(body: dict[str, Any], webhook_url: str | None, secret: str) -> None:
    """Sign every button and menu that posts to us, those of custom JSON, too."""
    for attachment in _dicts(body.get("props"), "attachments"):
        for action in _dicts(attachment, "actions"):
            integration = action.get("integration")
            if isinstance(integration, dict) and integration.get("url") == webhook_url:
                context = integration.setdefault("context", {})
                context["token"] = signature(secret, context.get("action"))


def _dicts(value: Any, key: str) -> list[dict[str, Any]]:
    inner = value.get(key) if isinstance(value, dict) else None
    return [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []
