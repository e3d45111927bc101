"""How dead letters look in a terminal. What a user or the assistant wrote is shown only on request.

Everything that comes from a message is made printable: a terminal obeys control characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.table import Table
from rich.text import Text

from bridge.dead_letters import KINDS, DeadLetter, age
from bridge.errors import MessageError
from bridge.messages import Delivery, Reply, decode

LABEL_WIDTH = 14


def as_table(letters: Sequence[DeadLetter], now: float) -> Table:
    """One row a dead letter; nothing is cut, long names go over several lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("age", "flow", "channel", "conversation", "reason", "error", "tries", "id"):
        table.add_column(
            name,
            justify="right" if name in ("age", "tries") else "left",
            no_wrap=name in ("age", "flow", "reason", "tries"),
            overflow="fold",
        )
    for letter in letters:
        cells = [
            age_of(letter, now),
            letter.flow,
            letter.channel,
            letter.conversation,
            letter.reason,
            letter.error_class,
            str(letter.attempts or "-"),
            letter.id,
        ]
        table.add_row(*(Text(printable(cell) or "-") for cell in cells))
    return table


def as_json(letter: DeadLetter) -> str:
    """One line; of the error only its class, since its words may quote the message."""
    return json.dumps({**vars(letter), "error": letter.error_class}, ensure_ascii=False)


def described(
    letter: DeadLetter, delivery: Delivery, now: float, *, text: bool, body: bool
) -> Iterator[str]:
    """Yield the lines that say everything; of the message itself only what is asked for."""
    yield f"{letter.flow} {printable(letter.id) or '(without id)'}"
    yield from _lines(
        {
            "channel": letter.channel,
            "conversation": letter.conversation,
            "reason": letter.reason,
            "error": letter.error,
            "attempts": str(letter.attempts or "-"),
            "first at": _time(letter.first_at, now),
            "last at": _time(letter.last_at, now),
            "queue": letter.queue,
            "type": delivery.kind or "",
            "size": f"{len(delivery.body)} bytes",
        }
    )
    yield from _lines(_of_message(letter.flow, delivery, now, text))
    others = {k: v for k, v in delivery.headers.items() if not k.startswith("x-bridge-")}
    if others:
        yield "  headers"
        yield from (f"    {printable(k)}: {printable(_plain(v))}" for k, v in others.items())
    if body:
        yield from _lines({"body": _plain(delivery.body)})


def _of_message(flow: str, delivery: Delivery, now: float, text: bool) -> dict[str, str]:
    try:
        message = decode(delivery.body, KINDS[flow])
    except MessageError as error:
        return {"text": f"({error})"} if text else {}
    if isinstance(message, Reply):
        found = {
            "created at": _time(message.created_at, now),
            "kind": message.kind,
            "in reply to": message.in_reply_to,
        }
        content = "" if message.content is None else _plain(message.content)
    else:
        found = {"received at": _time(message.received_at, now)}
        if message.reply_to:
            found["reply to"] = f"{message.reply_to.queue}: a request that waited for the replies"
        content = ""
    return {**found, **({"text": message.text or "", "content": content} if text else {})}


def _lines(values: dict[str, str]) -> Iterator[str]:
    for label, value in values.items():
        if value:
            first, *rest = value.splitlines() or [""]
            yield f"  {label:{LABEL_WIDTH}}{printable(first)}"
            yield from (f"  {'':{LABEL_WIDTH}}{printable(line)}" for line in rest)


def age_of(letter: DeadLetter, now: float) -> str:
    return age(now - letter.last_at) if letter.last_at else "-"


def _time(at: float, now: float) -> str:
    if not at:
        return "not known"
    try:
        when = datetime.fromtimestamp(at, timezone.utc)
    except (OverflowError, OSError, ValueError):
        return str(at)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC, {age(now - at)} ago"


def _plain(value: Any) -> str:
    """A header or content on one line."""
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=_plain_leaf)


def _plain_leaf(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return _plain(value) if isinstance(value, (bytes, bytearray)) else str(value)


def printable(text: str) -> str:
    """Return a text in which whatever a terminal would obey is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
