"""A reply as an activity, as Rasa's channel builds it.

Cards: https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-add-rich-cards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from bridge.connectors.toolkit.replies import button_of, calls, dicts, parts
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

TEXT = 4000
"""Characters of a text: Teams takes 28 KB in all, and each may take six bytes."""
KINDS = ("text", "buttons", "image", "elements", "custom")
"""What Bot Framework has itself; the rest becomes what Rasa makes of it."""
HERO = "application/vnd.microsoft.card.hero"


def split(reply: Reply) -> Iterable[Reply]:
    """Return the activities that a reply takes, each element one."""
    if reply.kind == "elements":
        return parts(reply, ({"content": [element]} for element in dicts(reply.content)))
    return calls(reply, KINDS, TEXT)


def activity(reply: Reply) -> dict[str, Any]:
    """Return the activity of one reply.

    Raises:
        RejectedDeliveryError: none can be made of its content.
    """
    if reply.kind == "custom":
        return _custom(reply)
    return {
        "type": "message",
        "recipient": {"id": reply.recipient_id},
        "from": _bot(reply),
        "channelData": {"notification": {"alert": "true"}},
        "text": "",
        **_content(reply),
    }


def _content(reply: Reply) -> dict[str, Any]:
    if reply.kind == "image":
        return _hero({"images": [{"url": reply.content}]})
    if reply.kind == "buttons":
        return _hero({"subtitle": reply.text, "buttons": _buttons(reply.content)})
    if reply.kind == "elements":
        return _element(reply.content[0])
    return {"text": reply.text}


def _element(element: dict[str, Any]) -> dict[str, Any]:
    """Return what Rasa sends as it is: parts of an activity; make a card of a generic element."""
    if not {"title", "subtitle", "image_url"} & element.keys():
        return element
    card = {key: element[key] for key in ("title", "subtitle") if element.get(key)}
    if element.get("image_url"):
        card["images"] = [{"url": element["image_url"]}]
    if element.get("buttons"):
        card["buttons"] = _buttons(element["buttons"])
    return _hero(card)


def _buttons(values: Any) -> list[dict[str, Any]]:
    return [_button(value) for value in dicts(values) if value.get("title")]


def _button(value: dict[str, Any]) -> dict[str, Any]:
    """Return a card action as it is, or the one that says a Rasa button's payload."""
    if "value" in value:
        return value
    button = button_of(value)
    if button.url:
        return {"type": "openUrl", "title": button.title, "value": button.url}
    return {"type": "postBack", "title": button.title, "value": button.payload}


def _hero(content: dict[str, Any]) -> dict[str, Any]:
    return {"attachments": [{"contentType": HERO, "content": content}]}


def _custom(reply: Reply) -> dict[str, Any]:
    if not isinstance(reply.content, dict):
        raise RejectedDeliveryError("a custom reply must be an object: an activity")
    body: dict[str, Any] = copy.deepcopy(reply.content)
    body.setdefault("type", "message")
    body.setdefault("recipient", {}).setdefault("id", reply.recipient_id)
    body.setdefault("from", _bot(reply))
    body.setdefault("channelData", {}).setdefault("notification", {}).setdefault("alert", "true")
    body.setdefault("text", "")
    return body


def _bot(reply: Reply) -> dict[str, Any]:
    bot: dict[str, Any] = reply.route["bot"]
    return bot
