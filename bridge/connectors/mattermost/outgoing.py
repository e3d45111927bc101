"""Sends replies with POST /posts.

Limits: https://developers.mattermost.com/api-documentation/ and the server's MaxPostSize.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from bridge.connectors.toolkit.login import Headers, Login, SessionExpired
from bridge.connectors.toolkit.replies import buttons_of, calls
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import Reply

TEXT = 16383
"""Characters of a post."""
KINDS = ("text", "buttons", "image", "custom")
"""Kinds that Mattermost supports; the others are replaced as in Rasa."""


async def deliver(
    reply: Reply,
    http: HttpClient,
    url: str,
    login: Login,
    webhook_url: str | None,
    secret: str | None,
) -> None:
    """POST one part of a reply; raises as `Connector.deliver`."""
    body = post_body(reply, webhook_url, secret)

    async def post(headers: Headers) -> Response:
        return await http.post_json(f"{url}/posts", body, headers=headers, check=raise_for_response)

    await login.call(http, post)


def split(reply: Reply, buttons: bool) -> Iterable[Reply]:
    """Return one reply per call; without `buttons`, buttons become lines of text."""
    return calls(reply, [kind for kind in KINDS if buttons or kind != "buttons"], TEXT)


def post_body(reply: Reply, webhook_url: str | None, secret: str | None) -> dict[str, Any]:
    """Return the body of the call, with signed buttons if `secret` is set.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    body = _content(reply, webhook_url)
    channel = reply.route.get("channel_id")
    if channel:
        body.setdefault("channel_id", channel)
    if reply.route.get("root_id"):
        body.setdefault("root_id", reply.route["root_id"])
    if not body.get("channel_id"):
        raise RejectedDeliveryError("no channel to post to", fix="set 'channel_id' in custom JSON")
    if secret:
        _sign(body, webhook_url, secret)
    return body


def button_signature(secret: str, action: str | None) -> str:
    """Return the proof that a button is the bot's; Mattermost returns its context unchanged."""
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
    """Return buttons as actions. Mattermost has no link buttons: they become links in the text."""
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
    """Sign every button and menu that posts to `webhook_url`, also those of custom JSON."""
    for attachment in _dicts(body.get("props"), "attachments"):
        for action in _dicts(attachment, "actions"):
            integration = action.get("integration")
            if isinstance(integration, dict) and integration.get("url") == webhook_url:
                context = integration.setdefault("context", {})
                context["token"] = button_signature(secret, context.get("action"))


def _dicts(value: Any, key: str) -> list[dict[str, Any]]:
    inner = value.get(key) if isinstance(value, dict) else None
    return [item for item in inner if isinstance(item, dict)] if isinstance(inner, list) else []


def raise_for_response(response: Response) -> None:
    """Raise the error for a response of the API; it names the error id but not the text.

    Mattermost limits the calls per user or address, that is, the whole channel.
    """
    if response.status == 401:
        raise SessionExpired("Mattermost: HTTP 401", fix="check 'token', or 'user' and 'pw'")
    try:
        raise_for_status(response, "channel")
    except RejectedDeliveryError as error:
        raise RejectedDeliveryError(f"Mattermost: {error.problem}{_error_id(response)}") from error


def _error_id(response: Response) -> str:
    try:
        answer: Any = response.json()
    except RetryableDeliveryError:
        return ""
    id = answer.get("id") if isinstance(answer, dict) else None
    return f" ({id[:100]})" if isinstance(id, str) else ""
