"""What `rasa-bridge channels` reports about a channel, and how it looks in a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.table import Table
from rich.text import Text

from bridge.broker.topology import Topology
from bridge.connectors.base import Connector
from bridge.connectors.registry import Channel
from bridge.connectors.warnings import warnings_of
from bridge.connectors.wrapped.connector import WrappedConnector

State = Literal["on", "off", "none", "own"]


@dataclass(frozen=True)
class Row:
    """One channel, without secrets; an element of the JSON output."""

    channel: str
    connector: str
    """The channel type of which this is an instance; empty for a wrapped channel."""
    url: str
    verification: State
    """`none`: the channel has no authentication. `own`: a custom channel, which may authenticate
    in its own code."""
    by: str
    """What the authentication checks, whether it is on or off."""
    key: str
    """Key in credentials.yml that turns the authentication on; empty if none does."""
    reply_queues: list[str]
    """Empty if the channel answers in the HTTP response."""
    warnings: list[str]


def row_of(channel: Channel, topology: Topology, channels: Collection[Channel] = ()) -> Row:
    """Return what is reported about a channel that runs beside others."""
    connector = channel.connector
    check = connector.verification
    queues = topology.reply_queues(channel.name) if channel.has_reply_queues else []
    return Row(
        channel=channel.name,
        connector="" if isinstance(connector, WrappedConnector) else connector.name,
        url=connector.served_at(),
        verification=_state(connector),
        by=check.by if check else "",
        key=check.key if check else "",
        reply_queues=[queue.name for queue in queues],
        warnings=warnings_of(channel, channels),
    )


def _state(connector: Connector) -> State:
    if connector.verification:
        return "on" if connector.verifies() else "off"
    if isinstance(connector, WrappedConnector) or type(connector).verify is not Connector.verify:
        return "own"
    return "none"


def as_table(rows: Sequence[Row]) -> Table:
    """Return one row per channel."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("channel", "URL", "authentication", "replies"):
        table.add_column(name, overflow="fold", no_wrap=name == "URL")
    for row in rows:
        instance = row.connector and row.connector != row.channel
        table.add_row(
            Text(f"{row.channel} ({row.connector})" if instance else row.channel),
            Text(row.url),
            _authentication(row),
            Text(f"{len(row.reply_queues)} queues" if row.reply_queues else "in the response"),
        )
    return table


def _authentication(row: Row) -> Text:
    if row.verification == "on":
        return Text(f"✓ {row.by}", style="green")
    if row.verification == "off":
        return Text("✗ off", style="red")
    if row.verification == "own":
        return Text("custom code")
    return Text("! none", style="yellow")


def as_notes(rows: Sequence[Row], topology: Topology) -> list[Text]:
    """Return the notes below the table: names of the reply queues, and missing settings."""
    notes = []
    if any(row.reply_queues for row in rows):
        names = f"{topology.replies_exchange}.<channel>.00 to .{topology.reply_partitions - 1:02}"
        notes.append(Text(f"\nreply queues: {names}"))
    missing = [f"! {row.channel}: {text}" for row in rows for text in row.warnings]
    if missing:
        notes.append(Text("\n".join(["", *missing])))
    return notes
