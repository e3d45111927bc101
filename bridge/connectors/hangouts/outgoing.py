"""Replies as the one message that answers an event, put together as Rasa's output channel does.

Texts are joined by a blank; once there is a card, all are cards. The cards are those of
https://developers.google.com/workspace/chat/api/reference/rest/v1/cards-v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.connectors.toolkit.replies import Button, buttons_of, elements_as_buttons
from bridge.errors import RejectedDeliveryError
from bridge.messages import Reply

Message = dict[str, Any]


def flattened(reply: Reply) -> Iterable[Reply]:
    """Each element is a text with buttons."""
    return elements_as_buttons(reply) if reply.kind == "elements" else [reply]


def message_of(reply: Reply) -> Message:
    """Return the message that a reply alone would be; {} if it says nothing.

    Raises:
        RejectedDeliveryError: none can be made of its content.
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


def joined(message: Message, further: Message) -> Message:
    """Return two messages as one."""
    if not (message and further):
        return message or further
    if "cardsV2" in message or "cardsV2" in further:
        # Beside these a text stays one.
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
