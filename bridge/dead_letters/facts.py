"""Describes a dead letter, for people and for programs. No I/O.

The text of a user or of the assistant is included only on request.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from bridge.errors import MessageError
from bridge.messages import MESSAGE_OF, DeadLetter, Delivery, Flow, InboundMessage, decode
from bridge.runtime.durations import age


def as_plain(letter: DeadLetter) -> dict[str, Any]:
    """Return the fields as a table row; the error's class only, as its text may quote users."""
    return {**vars(letter), "error": letter.error_class, "cause": letter.cause}


def facts(letter: DeadLetter, delivery: Delivery, now: float, *, text: bool) -> dict[str, str]:
    """Return everything except headers and body, by label; "" where a fact is missing.

    Without `text`, of the error only its class: its text may quote the user.
    """
    return {
        "channel": letter.channel,
        "conversation": letter.conversation,
        "reason": letter.reason,
        "status": letter.cause if letter.status else "",
        "turn": letter.group,
        "error": letter.error if text else letter.error_class,
        "attempts": str(letter.attempts or "-"),
        "first at": _time(letter.first_at, now),
        "last at": _time(letter.last_at, now),
        "queue": letter.queue,
        "type": delivery.kind or "",
        "size": f"{len(delivery.body)} bytes",
        **_of_message(letter.flow, delivery, now, text),
    }


def _of_message(flow: Flow, delivery: Delivery, now: float, text: bool) -> dict[str, str]:
    try:
        message = decode(delivery.body, MESSAGE_OF[flow])
    except MessageError as error:
        return {"text": f"({error})"} if text else {}
    if isinstance(message, InboundMessage):
        found = {"received at": _time(message.received_at, now)}
        if message.reply_to:
            found["reply to"] = f"{message.reply_to.queue}: a request that waited for the replies"
        return {**found, **({"text": message.text, "content": ""} if text else {})}
    found = {
        "created at": _time(message.created_at, now),
        "kind": message.kind,
        "in reply to": message.in_reply_to,
    }
    content = "" if message.content is None else plain(message.content)
    return {**found, **({"text": message.text or "", "content": content} if text else {})}


def _time(at: float, now: float) -> str:
    if not at:
        return "unknown"
    try:
        when = datetime.fromtimestamp(at, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return str(at)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC, {age(now - at)} ago"


def plain(value: Any) -> str:
    """Return a header's value, or a reply's content, on one line."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain_leaf)


def _plain_leaf(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return plain(value) if isinstance(value, (bytes, bytearray)) else str(value)
