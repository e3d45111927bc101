"""How the story of a message looks in a terminal 80 columns wide."""

from __future__ import annotations

import time
from itertools import pairwise

from rich.console import Group
from rich.table import Table
from rich.text import Text

from bridge.commands.terminal import printable, shown
from bridge.telemetry.trace.story import Row, Story

BAR = 16
"""Columns of the bars."""
STYLES = {"ok": "", "failed": "red", "open": "yellow", "missing": "yellow"}


def as_waterfall(story: Story) -> Group:
    """Return the rows of a story, each with a bar at its place in time."""
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(story.began))
    missing = f", {story.missing} missing" if story.missing else ""
    head = Text(printable(f"message {story.id}"), style="bold", overflow="fold")
    facts = f"{story.channel}, conversation {story.conversation}"
    took = f"{began}, {duration(story.seconds)}: {story.outcome}{missing}"
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=BAR)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    process = ""
    for row in story.rows:
        table.add_row(
            f"+{duration(max(0.0, row.at - story.began))}",
            shown(_name(row), STYLES[row.state]),
            _bar(row, story),
            "" if row.seconds is None else duration(row.seconds),
            shown(_details(row, process), STYLES[row.state]),
        )
        process = row.process or process
    return Group(head, shown(facts), shown(took), table, Text(""))


def _name(row: Row) -> str:
    return f"{row.name} :{row.reply}" if row.reply else row.name


def _details(row: Row, process: str) -> str:
    """Return what else is known; the process only where it differs from that of the row above."""
    if row.state == "missing":
        return f"missing: {row.what}" if row.what else "missing"
    where = row.process if row.process != process else ""
    return "  ".join(filter(None, (row.what, where)))


def _bar(row: Row, story: Story) -> str:
    """Return a bar from the start of a row to its end."""
    if not story.seconds:
        return ""
    scale = BAR / story.seconds
    start = min(int(max(0.0, row.at - story.began) * scale), BAR - 1)
    if row.seconds is None:
        return " " * start + ("?" if row.state in ("missing", "open") else "·")
    length = max(1, round(row.seconds * scale))
    return (" " * start + ("─" if row.name in ("waited",) else "█") * length)[:BAR]


def duration(seconds: float) -> str:
    """Return seconds as 4 ms, 1.25 s, 2m05s or 3h10m."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    for (unit, length), (small, part) in pairwise([("d", 86400), ("h", 3600), ("m", 60), ("s", 1)]):
        if seconds >= length:
            whole, rest = divmod(seconds, length)
            return f"{whole:.0f}{unit}{int(rest // part):02}{small}"
    return f"{seconds:.0f} s"
