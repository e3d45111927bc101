"""Sends replies with chat.postMessage.

The fields: https://developer.rocket.chat/apidocs/post-message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from bridge.connectors.toolkit.login import Headers, Login, SessionExpired
from bridge.connectors.toolkit.replies import (
    Button,
    as_text,
    button_of,
    buttons_of,
    calls,
    dicts,
)
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import Reply

TEXT = 5000
"""Characters of a message; the default of the server's Message_MaxAllowedSize."""
KINDS = ("text", "buttons", "image", "attachment", "elements", "custom")
"""Kinds that Rocket.Chat supports; quick replies become buttons."""


async def deliver(reply: Reply, http: HttpClient, url: str, login: Login) -> None:
    """POST one part of a reply; raises as `Connector.deliver`."""
    body = message_body(reply)

    async def post(headers: Headers) -> Response:
        return await http.post_json(
            f"{url}/chat.postMessage", body, headers=headers, check=raise_for_response
        )

    await login.call(http, post)


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call."""
    return calls(reply, KINDS, TEXT)


def message_body(reply: Reply) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
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
        # An object is a Rocket.Chat attachment; anything else, such as a URL, is sent as text.
        own = isinstance(reply.content, dict)
        return {"attachments": [reply.content]} if own else {"text": as_text(reply)}
    if reply.kind == "elements":
        return {"attachments": [_element(element) for element in dicts(reply.content)]}
    if reply.kind == "buttons":
        actions = [_button(button) for button in buttons_of(reply)]
        return {"text": reply.text, "attachments": [{"actions": actions}]}
    return {"text": reply.text}


def _custom(content: Any) -> dict[str, Any]:
    """Return a custom body; `room_id` is the name of `roomId` in Rasa's client."""
    if not isinstance(content, dict):
        raise RejectedDeliveryError("a custom reply must be an object: chat.postMessage arguments")
    body = dict(content)
    room = body.pop("room_id", None)
    if room and not body.get("channel"):
        body.setdefault("roomId", room)
    return body


def _element(element: dict[str, Any]) -> dict[str, Any]:
    """Return an element as an attachment; the keys of generic elements are renamed."""
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


def raise_for_response(response: Response) -> None:
    """Raise the error for a response of the API; it names the error type but not the text.

    Rocket.Chat limits the calls per method and address, that is, the whole channel.
    """
    if response.status == 401:
        raise SessionExpired("Rocket.Chat: HTTP 401", fix="check 'user' and 'password'")
    answer = response.json_object()
    if response.status == 200 and (answer.get("success") or answer.get("status") == "success"):
        return
    kind = str(answer.get("errorType") or "")[:100]
    error = f"Rocket.Chat: HTTP {response.status} {kind}".rstrip()
    if response.status == 429 or kind == "error-too-many-requests":
        # Rocket.Chat states the wait in this sentence; a proxy in front of it uses Retry-After.
        wait = re.search(r"wait (\d{1,6}) seconds", str(answer.get("error")))
        seconds = float(wait[1]) if wait else parse_retry_after(response.headers)
        raise RetryableDeliveryError(error, retry_after=seconds, scope="channel")
    if response.status in (200, 400) and answer.get("success") is False:
        raise RejectedDeliveryError(error)
    raise_for_status(response, "channel")
    raise RetryableDeliveryError("Rocket.Chat: the response is neither a success nor an error")
