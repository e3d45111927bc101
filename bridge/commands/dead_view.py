"""How dead letters look in a terminal. Message texts are shown only on request.

Everything taken from a message is made printable, because terminals obey control characters.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from bridge.commands.terminal import printable
from bridge.dead_letters.causes import Group
from bridge.dead_letters.facts import as_plain, facts, plain
from bridge.messages import DeadLetter, Delivery
from bridge.runtime.durations import age

LABEL_WIDTH = 14


def as_table(letters: Sequence[DeadLetter], now: float) -> Table:
    """Return one row per dead letter; long values wrap instead of being cut."""
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
            letter.cause,
            str(letter.attempts or "-"),
            letter.id,
        ]
        table.add_row(*(Text(printable(cell) or "-") for cell in cells))
    return table


def causes_table(groups: Sequence[Group], now: float) -> Table:
    """Return one row per group of dead letters."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("letters", "oldest", "newest", "flow", "channel", "reason", "cause"):
        is_number = name in ("letters", "oldest", "newest")
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number or name == "flow",
            overflow="fold",
        )
    for group in groups:
        cells = [
            f"{group.letters:,}",
            *(age(now - at) if at else "-" for at in (group.oldest, group.newest)),
            group.flow,
            group.channel,
            group.reason,
            group.cause,
        ]
        table.add_row(*(Text(printable(cell) or "-") for cell in cells))
    return table


def options_of(group: Group) -> str:
    """Return the command-line options that select a group."""
    values = {
        "flow": group.flow,
        "channel": group.channel,
        "reason": group.reason,
        "cause": group.cause,
    }
    return " ".join(f"--{name} {shlex.quote(printable(value))}" for name, value in values.items())


def group_as_json(group: Group) -> str:
    """Return one line of JSON."""
    return json.dumps(vars(group), ensure_ascii=False)


def as_json(letter: DeadLetter) -> str:
    """Return one line of JSON."""
    return json.dumps(as_plain(letter), ensure_ascii=False)


def described(
    letter: DeadLetter, delivery: Delivery, now: float, *, text: bool, body: bool
) -> Iterator[str]:
    """Yield every detail, line by line; of the message only the parts asked for."""
    yield f"{letter.flow} {printable(letter.id) or '(no id)'}"
    yield from _lines(facts(letter, delivery, now, text=text))
    others = {k: v for k, v in delivery.headers.items() if not k.startswith("x-bridge-")}
    if others:
        yield "  headers"
        yield from (f"    {printable(k)}: {printable(plain(v))}" for k, v in others.items())
    if body:
        yield from _lines({"body": plain(delivery.body)})


def _lines(values: dict[str, str]) -> Iterator[str]:
    for label, value in values.items():
        if value:
            first, *rest = value.splitlines() or [""]
            yield f"  {label:{LABEL_WIDTH}}{printable(first)}"
            yield from (f"  {'':{LABEL_WIDTH}}{printable(line)}" for line in rest)


def age_of(letter: DeadLetter, now: float) -> str:
    return age(now - letter.last_at) if letter.last_at else "-"
