"""`rasa-bridge status`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from bridge.commands import options

if TYPE_CHECKING:
    from bridge.monitor.events import Event
    from bridge.monitor.snapshot import Snapshot


@click.command("status")
@options.credentials
@options.endpoints
@options.management_url
@click.option("--json", "as_json", is_flag=True, help="Print the snapshot as one JSON object.")
@click.option(
    "--verbose",
    "-v",
    is_flag=True,
    help="List each channel of a problem that many channels have.",
)
@click.option(
    "--events",
    "events_only",
    is_flag=True,
    help="Show recent events instead: deaths, restarts, outages, dead letters. A monitor must be"
    " running.",
)
@click.option(
    "--monitor-url",
    default="http://127.0.0.1:5006",
    show_default=True,
    envvar="RASA_BRIDGE_MONITOR_URL",
    metavar="URL",
    callback=options.http_url,
    help="The monitor to ask for events, such as deaths of processes.",
)
@click.option(
    "--max-depth",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail if inbound, or a channel's replies, hold more than N messages.  [default: no limit]",
)
@click.option(
    "--max-age",
    metavar="AGE",
    callback=options.age,
    help="Fail if a message is older than AGE, such as 30s or 5m.  [default: no limit]",
)
@click.option(
    "--max-dead",
    type=click.IntRange(min=0),
    metavar="N",
    help="Fail if there are more than N dead letters.  [default: no limit]",
)
def command(
    credentials: str | None,
    endpoints: str | None,
    management_url: str | None,
    as_json: bool,
    verbose: bool,
    events_only: bool,
    monitor_url: str,
    max_depth: int | None,
    max_age: float | None,
    max_dead: int | None,
) -> None:
    """Show queue depth, oldest message age, rates and consumers.

    The exit code is 1 if a queue is missing or has no consumer, if no webhook is connected, if a
    process consumes but does not report, if a service is down or a flow is paused, if most attempts
    fail or most messages become dead letters, if the broker has an alarm, or if a --max limit is
    exceeded. So the command serves as a check for cron or Nagios. The problems are printed above
    the tables; with --json, to stderr.

    A depth or age that is not fully known is shown as '≥ 12' or '?', never as 0.

    AMQP access is enough: depths come from the broker, ages and rates from the processes. If
    RabbitMQ's management API answers, it adds unacknowledged counts and node alarms. A monitor
    adds the processes that died recently.
    """
    import msgspec
    from rich.console import Console

    from bridge.commands.broker import connected, settings
    from bridge.commands.status_view import as_view
    from bridge.errors import MonitorUnavailable
    from bridge.http.client import HttpClient
    from bridge.monitor.access import TOKEN_VARIABLE
    from bridge.monitor.client import fetch_events
    from bridge.monitor.events import recent_deaths
    from bridge.monitor.management import TIMEOUT, Management
    from bridge.monitor.observer import Observer
    from bridge.monitor.problem import Limits, each_part
    from bridge.monitor.problems import notices, problems
    from bridge.runtime import role

    broker, topology = settings("status", credentials, endpoints)
    monitor = monitor_url, os.environ.get(TOKEN_VARIABLE), topology.namespace
    if events_only:
        _show(role.run(fetch_events(*monitor)), as_json)
        return

    async def look() -> Snapshot:
        async with HttpClient(timeout=TIMEOUT) as http, connected(broker, "status") as connection:
            management = Management(http, management_url, broker.url)
            observer = Observer(broker.url, topology, management)
            return await observer.look_once(connection)

    async def deaths() -> int | None:
        """Return the number of processes that died recently, or None without a monitor."""
        try:
            return len(recent_deaths(await fetch_events(*monitor, TIMEOUT), time.time()))
        except MonitorUnavailable:
            return None

    async def look_and_ask() -> tuple[Snapshot, int | None]:
        return await asyncio.gather(look(), deaths())

    snapshot, died = role.run(look_and_ask())
    limits = Limits(max_depth, max_age, max_dead)
    found = problems(snapshot, limits)
    if as_json:
        click.echo(msgspec.json.encode(snapshot))
        for problem in found:
            for one in problem.parts or [problem]:
                click.echo(one.text, err=True)
    else:
        sources = [] if died is None else ["the monitor's events"]
        lines = each_part(found) if verbose else found
        view = as_view(snapshot, lines, notices(snapshot, died or 0, limits), sources)
        Console(highlight=False).print(view)
    sys.exit(1 if found else 0)


def _show(events: list[Event], as_json: bool) -> None:
    import msgspec
    from rich.console import Console

    from bridge.commands.events_view import as_table

    if as_json:
        click.echo(msgspec.json.encode(events))
    elif events:
        Console(highlight=False).print(as_table(events))
    else:
        click.echo("no events since the monitor started")
