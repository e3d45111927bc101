"""Turns cards of version 1, which Rasa and Chat apps use, into those of version 2 for add-ons.

https://developers.google.com/workspace/chat/api/reference/rest/v1/cards-v1 and …/v1/cards.
"""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]

PAYLOAD = "payload"
"""Parameter that holds the payload of a button. An add-on's function must be the app's URL."""


def upgraded(message: Message, url: str) -> Message:
    """Return a message with its cards in version 2; their buttons call the app at `url`."""
    cards = [
        {"cardId": f"card-{n}", "card": _card(card, url)}
        for n, card in enumerate(message.get("cards") or [], 1)
        if isinstance(card, dict)
    ]
    rest = {key: value for key, value in message.items() if key != "cards"}
    return {**rest, "cardsV2": [*rest.get("cardsV2", []), *cards]} if cards else rest


def created(message: Message) -> Message:
    """Return the response by which an add-on sends a message; {} for none."""
    if not message:
        return {}
    create = {"createMessageAction": {"message": message}}
    return {"hostAppDataAction": {"chatDataAction": create}}


def _card(card: Message, url: str) -> Message:
    sections = [
        {**section, "widgets": [_widget(w, url) for w in section.get("widgets") or []]}
        for section in card.get("sections") or []
    ]
    known: Message = {"sections": sections}
    header = card.get("header")
    if isinstance(header, dict):
        style = {"imageType": _shape(header["imageStyle"])} if "imageStyle" in header else {}
        known["header"] = {**{k: v for k, v in header.items() if k != "imageStyle"}, **style}
    if card.get("name"):
        known["name"] = card["name"]
    return known


def _shape(style: Any) -> str:
    return "CIRCLE" if style in ("AVATAR", "CIRCLE") else "SQUARE"


def _widget(widget: Message, url: str) -> Message:
    """Return one widget; those that both versions have stay as they are."""
    if "buttons" in widget:
        return {"buttonList": {"buttons": [_button(b, url) for b in widget["buttons"]]}}
    if "image" in widget:
        return {"image": _clicking(widget["image"], url)}
    if "keyValue" in widget:
        return {"decoratedText": _decorated(widget["keyValue"], url)}
    return widget


def _button(button: Message, url: str) -> Message:
    if "textButton" in button:
        return _clicking(button["textButton"], url)
    image = button.get("imageButton") or {}
    icon = {"knownIcon": image["icon"]} if "icon" in image else {"iconUrl": image.get("iconUrl")}
    return _clicking({"icon": icon, "onClick": image.get("onClick") or {}}, url)


def _decorated(value: Message, url: str) -> Message:
    names = {"content": "text", "contentMultiline": "wrapText"}
    known = {names.get(key, key): inner for key, inner in value.items()}
    if "icon" in known:
        known["startIcon"] = {"knownIcon": known.pop("icon")}
    if "iconUrl" in known:
        known["startIcon"] = {"iconUrl": known.pop("iconUrl")}
    if "button" in known:
        known["button"] = _button(known["button"], url)
    return _clicking(known, url)


def _clicking(value: Message, url: str) -> Message:
    """Return a part of a card whose click, if it has one, calls the app."""
    action = (value.get("onClick") or {}).get("action")
    if not isinstance(action, dict) or "actionMethodName" not in action:
        return value
    own = {"key": PAYLOAD, "value": action["actionMethodName"]}
    call = {"function": url, "parameters": [*(action.get("parameters") or []), own]}
    return {**value, "onClick": {"action": call}}
