"""`rasa-bridge trace`."""

from __future__ import annotations

import sys
import time

import click

from bridge.commands import options
from bridge.errors import SettingsError

PATIENCE = 1.0
"""Seconds after which a search shows its progress."""


@click.command("trace")
@click.argument("id")
@click.option(
    "--since",
    metavar="AGE",
    callback=options.age,
    help="How far to look back, such as 10m or 2h.  [default: until it is found, at most 24 hours]",
)
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Of a conversation, show the latest N messages.",
)
@click.option("--json", "json_lines", is_flag=True, help="Print one JSON object per message.")
@options.endpoints
def command(
    id: str, since: float | None, last: int, json_lines: bool, endpoints: str | None
) -> None:
    """Show what happened to one message, hop by hop, with durations.

    ID is the id of a message (usually the one the provider gave it), of a reply, the id that a
    service gave to a reply, or a conversation (sender id).

    The processes of the last 24 hours have written their hops to a stream on the broker. A hop
    appears within two seconds. A hop that must have happened and is not there is shown as missing:
    the process was killed before it wrote, or the stream has reached its limit. No hop holds a
    message text.

    The exit code is 1 if nothing is found.
    """
    if not id.strip():
        raise SettingsError("ID is empty", fix="write it like: rasa-bridge trace MESSAGE-ID")
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    from bridge.commands.broker import connected
    from bridge.commands.trace_view import as_waterfall
    from bridge.monitor.tracing import Found, find_stories
    from bridge.runtime import role
    from bridge.runtime.durations import spelled
    from bridge.settings.files import load_broker
    from bridge.telemetry import logs

    logs.configure("trace", 40)
    broker = load_broker(endpoints)

    began = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    errors = Console(stderr=True)
    bar = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    reading = bar.add_task("reading the trace")

    def progress(done: int, total: int, hops: int) -> None:
        if time.monotonic() > began + PATIENCE:
            bar.start()
        said = f"reading the trace, {hops} hops found" if hops else "reading the trace"
        bar.update(reading, completed=done, total=total, description=said)

    async def find() -> Found:
        async with connected(broker, "trace") as connection:
            start = None if since is None else time.time() - since
            topology = broker.topology()
            return await find_stories(connection, topology, id, since=start, progress=progress)

    try:
        stories, reached = role.run(find())
    finally:
        if bar.live.is_started:  # else it prints an empty line
            bar.stop()
    if not stories:
        ago = f" of the last {spelled(time.time() - reached)}" if reached else ""
        click.echo(f"no hop of {id} in the trace{ago}; a hop appears within 2 s", err=True)
        sys.exit(1)
    for story in stories[-last:]:
        if json_lines:
            click.echo(msgspec.json.encode(story))
        else:
            Console(highlight=False).print(as_waterfall(story))
    if len(stories) > last:
        click.echo(f"{len(stories) - last} earlier messages: raise --last to see them", err=True)
