"""Sends replies with the Send API.

Limits: https://developers.facebook.com/docs/messenger-platform/reference/send-api and
…/reference/templates/button, …/generic, …/reference/buttons/quick-replies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from bridge.connectors.meta.graph import raise_for_graph
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.replies import (
    as_text,
    button_of,
    buttons_as_texts,
    buttons_of,
    calls,
    dicts,
    elements_as_buttons,
    parts,
    with_text_before,
)
from bridge.errors import RejectedDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import Reply

TEXT = 2000
"""Characters of a message."""
TEMPLATE_TEXT = 640
"""Characters of the text next to buttons."""
BUTTONS = 3
QUICK_REPLIES = 13
PAYLOAD = 1000
"""Characters that a button or quick reply can send."""
ELEMENTS = 10
ELEMENT_TEXT = 80
"""Characters of the title and of the subtitle of an element."""
TITLE = 20
"""Characters of the title of a button or quick reply."""
KINDS = ("text", "buttons", "quick_replies", "image", "attachment", "elements", "custom")
"""Kinds that Messenger supports."""

raise_for_response = partial(
    raise_for_graph,
    service="Messenger",
    token_key="page-access-token",  # noqa: S106
    secret_key="secret",  # noqa: S106
)
"""Raises the error for a response of the Send API."""


async def deliver(reply: Reply, http: HttpClient, url: str, params: Mapping[str, str]) -> None:
    """POST one part of a reply; raises as `Connector.deliver`."""
    response = await http.post_json(url, body_of(reply), params=params, check=raise_for_response)
    receipts.accepted(response, "message_id")


async def show_read_and_typing(
    http: HttpClient, url: str, params: Mapping[str, str], user: str
) -> None:
    """Show a user that the message was read and that the bot is typing."""
    for action in ("mark_seen", "typing_on"):
        body = {"recipient": {"id": user}, "sender_action": action}
        await http.post_json(url, body, params=params, check=raise_for_response)


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call.

    More than three buttons become quick replies, of which Messenger accepts thirteen. Buttons that
    fit neither, or have a payload that is too long, become lines of text.

    Raises:
        RejectedDeliveryError: the content is not a list of objects.
    """
    if reply.kind in ("buttons", "quick_replies") and _longest(reply) > PAYLOAD:
        return buttons_as_texts(reply, TEXT)
    if reply.kind == "buttons" and len(buttons_of(reply)) > BUTTONS:
        if len(buttons_of(reply)) > QUICK_REPLIES or any(b.url for b in buttons_of(reply)):
            return buttons_as_texts(reply, TEXT)
        return calls(parts(reply, [{"kind": "quick_replies"}])[0], KINDS, TEXT)
    if reply.kind == "buttons":
        return calls(reply, KINDS, TEXT, button_limit=TEMPLATE_TEXT)
    if reply.kind == "quick_replies" and dicts(reply.content):
        # Not with `calls`: a quick reply that requests an address has no title.
        if len(reply.content) > QUICK_REPLIES:
            return buttons_as_texts(reply, TEXT)
        return with_text_before(reply, TEXT)
    if reply.kind == "elements":
        elements = dicts(reply.content)
        if not all(map(_fits, elements)):
            return [part for element in elements_as_buttons(reply) for part in split(element)]
        rows = [elements[n : n + ELEMENTS] for n in range(0, len(elements), ELEMENTS)]
        return parts(reply, ({"content": row} for row in rows))
    if reply.kind == "custom" and isinstance(reply.content, list):
        return parts(reply, ({"content": message} for message in _messages(reply.content)))
    return calls(reply, KINDS, TEXT)


def _messages(content: list[Any]) -> list[Any]:
    """Return the messages of a list. As in Rasa, one of them may name the recipient of all."""
    named = [m["sender"] for m in content if isinstance(m, dict) and "sender" in m]
    if not named:
        return content
    return [{**m, "sender": named[0]} for m in dicts(content) if m.keys() != {"sender"}]


def _fits(element: dict[str, Any]) -> bool:
    """Return whether a carousel can hold the buttons of an element."""
    buttons = [button_of(b) for b in dicts(element.get("buttons") or []) if b.get("title")]
    return len(buttons) <= BUTTONS and all(len(b.payload) <= PAYLOAD for b in buttons)


def _longest(reply: Reply) -> int:
    """Return the length of the longest payload."""
    return max((len(button.payload) for button in buttons_of(reply)), default=0)


def body_of(reply: Reply) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    recipient, message = reply.recipient_id, _message(reply)
    if reply.kind == "custom" and isinstance(message.get("sender"), dict):
        # In Rasa, this names another recipient.
        recipient = message["sender"].get("id", recipient)
        message = {key: value for key, value in message.items() if key != "sender"}
    return {
        "messaging_type": "RESPONSE",
        "notification_type": "REGULAR",
        "recipient": {"id": recipient},
        "message": message,
    }


def _message(reply: Reply) -> dict[str, Any]:
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: a message")
        return reply.content
    if reply.kind == "buttons":
        buttons = [_button(b) for b in dicts(reply.content) if b.get("title")]
        return _template("button", text=reply.text, buttons=buttons)
    if reply.kind == "quick_replies":
        return {"text": reply.text, "quick_replies": [_quick(q) for q in dicts(reply.content)]}
    if reply.kind == "image":
        return {"attachment": {"type": "image", "payload": {"url": reply.content}}}
    if reply.kind == "elements":
        return _template("generic", elements=[_element(e) for e in dicts(reply.content)])
    if reply.kind == "attachment":
        # An object is a Messenger attachment; anything else, such as a URL, is sent as text.
        if isinstance(reply.content, dict):
            return {"attachment": reply.content}
        return {"text": as_text(reply)}
    return {"text": reply.text}


def _template(kind: str, **payload: Any) -> dict[str, Any]:
    return {"attachment": {"type": "template", "payload": {"template_type": kind, **payload}}}


def _element(element: dict[str, Any]) -> dict[str, Any]:
    texts = {
        key: cut(str(element[key]), ELEMENT_TEXT)
        for key in ("title", "subtitle")
        if element.get(key)
    }
    element = {**element, **texts}
    if not element.get("buttons"):
        return {key: value for key, value in element.items() if key != "buttons"}
    return {**element, "buttons": [_button(button) for button in dicts(element["buttons"])]}


def _button(value: dict[str, Any]) -> dict[str, Any]:
    """Return a button unchanged, except that it gets the type that Messenger requires."""
    typed = {key: inner for key, inner in value.items() if inner is not None}
    if "title" in typed:
        typed["title"] = cut(str(typed["title"]))
    if "type" not in typed:
        button = button_of(value)
        typed |= {"type": "web_url"} if button.url else {"type": "postback"}
        if not button.url:
            typed["payload"] = button.payload
    return typed


def _quick(value: dict[str, Any]) -> dict[str, Any]:
    kind = value.get("content_type") or "text"
    title, payload = value.get("title"), value.get("payload")
    if kind == "text" and not title:
        raise RejectedDeliveryError("a quick reply must have a title")
    quick = {
        "content_type": kind,
        "title": title and cut(str(title)),
        "payload": title if kind == "text" and payload is None else payload,
        "image_url": value.get("image_url"),
    }
    return {key: inner for key, inner in quick.items() if inner}


def cut(title: str, limit: int = TITLE) -> str:
    """Return a title, shortened to the length that Messenger accepts."""
    return title if len(title) <= limit else f"{title[: limit - 1]}…"
