"""Sends replies as activities, built as in Rasa's channel.

Cards: https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-add-rich-cards.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from bridge.connectors.botframework.incoming import TEAMS
from bridge.connectors.botframework.tokens import BotToken
from bridge.connectors.limits import RateLimit
from bridge.connectors.toolkit.replies import button_of, calls, dicts, parts
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import Reply

TEXT = 4000
"""Characters of a text: Teams accepts 28 KB in total, and a character may take six bytes."""
KINDS = ("text", "buttons", "image", "elements", "custom")
"""Kinds that Bot Framework supports; the others are replaced as in Rasa."""
THREAD = RateLimit(1, 6), RateLimit(0.4, 360)
"""Messages of a bot to one conversation. Teams allows 7 in 1, 8 in 2, 60 in 30 and 1,800 in 3,600
seconds. https://learn.microsoft.com/en-us/microsoftteams/platform/bots/how-to/rate-limit"""
SIZE = 28 * 1024
"""Bytes of an activity that Teams accepts."""
BUTTONS = 6
"""Buttons of a card; Teams shows no more, so that further ones get further cards."""
HERO = "application/vnd.microsoft.card.hero"


async def deliver(reply: Reply, http: HttpClient, bot: BotToken, base: str) -> None:
    """POST one part of a reply as an activity to a service URL; raises as `Connector.deliver`."""
    route = reply.route
    if not route.get("conversation"):
        raise RejectedDeliveryError(
            "no conversation to send to", fix="the user must write to the bot first"
        )
    url = f"{base}/v3/conversations/{quote(route['conversation'], safe='')}/activities"
    body = activity(reply)
    refused = None
    for _ in range(2):
        token = await bot.get(http, refused)
        headers = {"Authorization": f"Bearer {token}"}
        response = await http.post_json(url, body, headers=headers, check=raise_for_response)
        if response.status != 401:
            return
        refused = token
    raise ServiceUnavailable("HTTP 401", fix="check 'app_id', 'app_password' and 'tenant'")


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per activity; each element is one, and as texts if it is too large."""
    if reply.kind == "elements":
        each = parts(reply, ({"content": [element]} for element in dicts(reply.content)))
        return [p for e in each for p in ([e] if fits(e) else calls(e, ("text",), TEXT))]
    return calls(reply, KINDS, TEXT, fits=fits)


def fits(reply: Reply) -> bool:
    """Return whether Teams accepts the content of a reply."""
    return len(json.dumps(_content(reply)).encode()) <= SIZE - 1024  # for the rest of the activity


def activity(reply: Reply) -> dict[str, Any]:
    """Return the activity of one reply.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
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
        buttons = _buttons(reply, reply.content)
        first, *rest = [buttons[n : n + BUTTONS] for n in range(0, len(buttons), BUTTONS)]
        return _heroes({"subtitle": reply.text, "buttons": first}, *({"buttons": b} for b in rest))
    if reply.kind == "elements":
        return _element(reply, reply.content[0])
    return {"text": reply.text}


def _element(reply: Reply, element: dict[str, Any]) -> dict[str, Any]:
    """Return parts of an activity unchanged, as Rasa does; turn a generic element into a card."""
    if not {"title", "subtitle", "image_url"} & element.keys():
        return element
    card = {key: element[key] for key in ("title", "subtitle") if element.get(key)}
    if element.get("image_url"):
        card["images"] = [{"url": element["image_url"]}]
    if element.get("buttons"):
        card["buttons"] = _buttons(reply, element["buttons"])
    return _hero(card)


def _buttons(reply: Reply, values: Any) -> list[dict[str, Any]]:
    in_teams = reply.route.get("channel_id") == TEAMS
    return [_button(value, in_teams) for value in dicts(values) if value.get("title")]


def _button(value: dict[str, Any], in_teams: bool) -> dict[str, Any]:
    """Return a card action unchanged; turn a Rasa button into one that sends the payload."""
    if "value" in value or value.get("type") == "messageBack":
        return value
    button = button_of(value)
    if button.url:
        return {"type": "openUrl", "title": button.title, "value": button.url}
    if in_teams:  # which does not know postBack
        text = {"displayText": button.title, "text": button.payload}
        return {"type": "messageBack", "title": button.title, **text}
    return {"type": "postBack", "title": button.title, "value": button.payload}


def _hero(content: dict[str, Any]) -> dict[str, Any]:
    return _heroes(content)


def _heroes(*contents: dict[str, Any]) -> dict[str, Any]:
    return {"attachments": [{"contentType": HERO, "content": content} for content in contents]}


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


def raise_for_response(response: Response) -> None:
    """Raise the error for a response, except 401: the caller's token may have expired."""
    if response.status == 412:
        raise RetryableDeliveryError(
            "HTTP 412 from Teams", retry_after=parse_retry_after(response.headers)
        )
    if response.status != 401:
        raise_for_status(response)
