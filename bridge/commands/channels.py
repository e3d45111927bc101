"""`rasa-bridge channels`."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.broker.topology import Topology
from bridge.commands import options
from bridge.connectors.base import Connector
from bridge.connectors.registry import Channel, load_channels
from bridge.connectors.wrapped.connector import WrappedConnector
from bridge.settings.files import load_broker, load_credentials
from bridge.telemetry import logs

WIDTH = 100
"""Columns at most: longer lines are hard to read."""

State = Literal["on", "off", "none", "own"]


@dataclass(frozen=True)
class Row:
    """One channel, as it is printed; nothing in it is a secret."""

    channel: str
    connector: str
    """Which channel it is an instance of; '' of a wrapped one."""
    url: str
    verification: State
    """`none`: the channel has none; `own`: its code may have one, which nobody here knows."""
    by: str
    """What is checked, or would be."""
    key: str
    """Key of credentials.yml that switches the verification on; '' if nothing does."""
    reply_queues: list[str]
    """Empty if it answers in the response."""
    warnings: list[str]


@click.command("channels")
@options.credentials
@options.endpoints
@click.option("--json", "as_json", is_flag=True, help="Print the channels as JSON, for scripts.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a verification is off.")
def command(credentials: str | None, endpoints: str | None, as_json: bool, strict: bool) -> None:
    """List the channels: where each is served, what is checked, where its replies go.

    It reads the settings files only, and prints no secret. A verification is off if a key is
    missing; which one, and what else is missing, stands below the table.
    """
    logs.configure("channels", logging.ERROR)
    channels = load_channels(load_credentials(credentials), credentials or "credentials.yml")
    topology = load_broker(endpoints).topology()
    rows = [row_of(channel, topology) for channel in channels.values()]
    if as_json:
        found = [dataclasses.asdict(row) for row in rows]
        click.echo(json.dumps({"channels": found}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        for part in (as_table(rows), *as_notes(rows, topology)):
            console.print(part, width=min(console.width, WIDTH))
    if strict and any(row.verification == "off" for row in rows):
        raise SystemExit(1)


def row_of(channel: Channel, topology: Topology) -> Row:
    """Return what there is to say of a channel."""
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
        warnings=connector.warnings(),
    )


def _state(connector: Connector) -> State:
    if connector.verification:
        return "on" if connector.verifies() else "off"
    if isinstance(connector, WrappedConnector) or type(connector).verify is not Connector.verify:
        return "own"
    return "none"


def as_table(rows: Sequence[Row]) -> Table:
    """One row a channel."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("channel", "URL", "verification", "replies"):
        table.add_column(name, overflow="fold", no_wrap=name == "URL")
    for row in rows:
        instance = row.connector and row.connector != row.channel
        table.add_row(
            Text(f"{row.channel} ({row.connector})" if instance else row.channel),
            Text(row.url),
            _verification(row),
            Text(f"{len(row.reply_queues)} queues" if row.reply_queues else "in the response"),
        )
    return table


def _verification(row: Row) -> Text:
    if row.verification == "on":
        return Text(f"✓ {row.by}", style="green")
    if row.verification == "off":
        return Text("✗ off", style="red")
    if row.verification == "own":
        return Text("its own code")
    return Text("! none", style="yellow")


def as_notes(rows: Sequence[Row], topology: Topology) -> list[Text]:
    """What stands below the table: the names of the queues, and all that is missing."""
    notes = []
    if any(row.reply_queues for row in rows):
        names = f"{topology.replies_exchange}.<channel>.00 to .{topology.reply_partitions - 1:02}"
        notes.append(Text(f"\nreply queues: {names}"))
    missing = [f"! {row.channel}: {text}" for row in rows for text in (*_none(row), *row.warnings)]
    if missing:
        notes.append(Text("\n".join(["", *missing])))
    return notes


def _none(row: Row) -> list[str]:
    if row.verification != "none":
        return []
    return ["whoever knows the URL can write as any user: put it behind something that checks"]
