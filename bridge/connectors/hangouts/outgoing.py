"""Merges the replies of a turn into the one message that answers an event, as Rasa does.

Texts are joined by a space; once there is a card, all texts become cards. The cards:
https://developers.google.com/workspace/chat/api/reference/rest/v1/cards-v1.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from bridge.connectors.hangouts.cards import created, upgraded
from bridge.connectors.toolkit.replies import (
    MALFORMED,
    Button,
    buttons_of,
    calls,
    elements_as_buttons,
    split_text,
)
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

log = logging.getLogger(__name__)

Message = dict[str, Any]

LIMIT = 32_000
"""Bytes of a message: https://developers.google.com/workspace/chat/create-messages."""
ROOM = 200
"""Bytes that stay free beside a text."""


def respond(replies: Iterable[Reply], add_on: str | None = None) -> Message:
    """Return the answer to an event; {} if the replies are empty.

    A Chat app answers with a message. An add-on, whose URL is `add_on`, answers with the action
    that creates one. A message that is too long becomes a text, which is cut.
    """
    replies = list(replies)
    message = joined(replies)
    if add_on is not None:
        message = upgraded(message, add_on)
    if size_of(message) > LIMIT:
        log.warning("the replies are longer than %d bytes: shortened to a text", LIMIT)
        message = {"text": shortened(replies)}
    return message if add_on is None else created(message)


def joined(replies: Iterable[Reply]) -> Message:
    """Return all replies as one message.

    A reply whose content cannot be sent is logged and left out.
    """
    answer: Message = {}
    for reply in replies:
        message: Message = {}
        try:
            for part in split(reply):
                message = merged(message, message_of(part))
        except (RejectedDeliveryError, *MALFORMED) as error:
            log.warning("reply %s left out: %s", reply.id, type(error).__name__)
        answer = merged(answer, message)
    return answer


def size_of(message: Message) -> int:
    """Return the bytes of a message."""
    return len(json.dumps(message, ensure_ascii=False).encode(errors="replace"))


def shortened(replies: Iterable[Reply]) -> str:
    """Return the beginning of the replies as one text that Chat accepts."""
    lines = []
    for reply in replies:
        try:
            lines += [part.text or "" for part in calls(reply, ("text",), LIMIT)]
        except (RejectedDeliveryError, *MALFORMED):
            continue  # already logged
    text = "\n".join(lines)
    first = next(split_text(text, LIMIT - ROOM, lambda part: size_of({"text": part})), "")
    return first if first == text.strip() else f"{first}…"


def split(reply: Reply) -> Iterable[Reply]:
    """Return the parts of a reply; each element is a text with buttons."""
    return elements_as_buttons(reply) if reply.kind == "elements" else [reply]


def message_of(reply: Reply) -> Message:
    """Return one reply as a message; {} if the reply is empty.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    if reply.kind == "custom":
        content = reply.content
        if not isinstance(content, dict) or not any(map(content.get, ("text", "cards", "cardsV2"))):
            raise RejectedDeliveryError("a custom reply must have a 'text', 'cards' or 'cardsV2'")
        return dict(content)
    if reply.kind == "image":
        return _card({"image": {"imageUrl": reply.content}})
    text = reply.text or ""
    if reply.kind in ("buttons", "quick_replies"):
        buttons = [_button(button) for button in buttons_of(reply)]
        if buttons:
            before = [_paragraph(text)] if text.strip() else []
            return _card(*before, {"buttons": buttons})
    if reply.kind == "attachment":
        text = str(reply.content)
    return {"text": text} if text.strip() else {}


def merged(message: Message, further: Message) -> Message:
    """Merge two messages into one."""
    if not (message and further):
        return message or further
    if "cardsV2" in message or "cardsV2" in further:
        # Next to cards of version 2, a text stays a text.
        cards = [*message.get("cardsV2", []), *further.get("cardsV2", [])]
        texts = [m["text"] for m in (message, further) if m.get("text")]
        old = [*message.get("cards", []), *further.get("cards", [])]
        both: Message = {**message, **further, "cardsV2": cards}
        both |= {"text": " ".join(texts)} if texts else {}
        return both | ({"cards": old} if old else {})
    if not message.get("cards") and not further.get("cards"):
        return {"text": f"{message['text']} {further['text']}"}
    return {"cards": [*_cards(message), *_cards(further)]}


def _cards(message: Message) -> list[Any]:
    text = [_card(_paragraph(message["text"]))["cards"][0]] if message.get("text") else []
    return [*text, *message.get("cards", [])]


def _card(*widgets: Message) -> Message:
    return {"cards": [{"sections": [{"widgets": list(widgets)}]}]}


def _paragraph(text: str) -> Message:
    return {"textParagraph": {"text": text}}


def _button(button: Button) -> Message:
    click: Message = {"action": {"actionMethodName": button.payload}}
    if button.url:
        click = {"openLink": {"url": button.url}}
    return {"textButton": {"text": button.title, "onClick": click}}
