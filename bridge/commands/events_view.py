"""How events look in a terminal 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from bridge.commands.terminal import shown
from bridge.monitor.events import Event
from bridge.monitor.problem import clock


def as_table(events: Sequence[Event]) -> Table:
    """Return a table with one event a row, oldest first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("time", no_wrap=True)
    table.add_column("subject", overflow="fold", max_width=32)
    table.add_column("what happened; what to do", overflow="fold")
    for event in events:
        text = f"{event.what}; {event.fix}" if event.fix else event.what
        style = "red" if event.alarming else ""
        table.add_row(clock(event.at), shown(event.subject, style), shown(text))
    return table
