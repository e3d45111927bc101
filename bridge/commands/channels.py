"""`rasa-bridge channels`."""

from __future__ import annotations

import dataclasses
import json
import logging

import click

from bridge.commands import options


@click.command("channels")
@options.credentials
@options.endpoints
@click.option("--json", "as_json", is_flag=True, help="Print the channels as one JSON object.")
@click.option(
    "--strict", is_flag=True, help="Exit with 1 if a channel does not authenticate its requests."
)
def command(credentials: str | None, endpoints: str | None, as_json: bool, strict: bool) -> None:
    """List each channel's URL, authentication and reply queues.

    Authentication is off while its key is missing from the credentials file. The notes below the
    table name that key, and any other missing setting.

    The command reads only the settings files and prints no secrets.
    """
    from rich.console import Console

    from bridge.commands.channels_view import as_notes, as_table, row_of
    from bridge.connectors.registry import load_channels
    from bridge.settings.files import credentials_file, load_broker, load_credentials
    from bridge.telemetry import logs

    logs.configure("channels", logging.ERROR)
    channels = load_channels(load_credentials(credentials), credentials_file(credentials))
    topology = load_broker(endpoints).topology()
    rows = [row_of(channel, topology, channels.values()) for channel in channels.values()]
    if as_json:
        found = [dataclasses.asdict(row) for row in rows]
        click.echo(json.dumps({"channels": found}, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        for part in (as_table(rows), *as_notes(rows, topology)):
            console.print(part, width=min(console.width, options.WIDTH))
    if strict and any(row.verification in ("off", "none") for row in rows):
        raise SystemExit(1)
