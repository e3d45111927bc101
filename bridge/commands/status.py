"""`rasa-bridge status`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.commands import options
from bridge.commands.status_view import as_view
from bridge.connectors.registry import load_channels
from bridge.errors import BrokerUnavailable
from bridge.http.client import HttpClient
from bridge.monitor.management import TIMEOUT, Management, default_url
from bridge.monitor.observer import Observer
from bridge.monitor.snapshot import Snapshot
from bridge.monitor.verdict import Limits, problems
from bridge.runtime import role
from bridge.settings.files import BrokerSettings, load_broker, load_credentials
from bridge.telemetry import logs
from bridge.telemetry.reports import EVERY

F = TypeVar("F", bound=Callable[..., Any])

PATIENCE = EVERY + 0.5
"""Seconds within which every process has reported."""

management_url = click.option(
    "--management-url",
    metavar="URL",
    envvar="RASA_BRIDGE_MANAGEMENT_URL",
    help="RabbitMQ's management API.  [default: port 15672 of the broker, if it answers]",
)


@click.command("status")
@options.credentials
@options.endpoints
@management_url
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option("--max-depth", type=click.IntRange(min=0), metavar="N", help="See below.")
@click.option(
    "--max-age", metavar="AGE", callback=options.age, help="See below; such as 30s or 5m."
)
@click.option("--max-dead", type=click.IntRange(min=0), metavar="N", help="See below.")
def command(
    credentials: str | None,
    endpoints: str | None,
    management_url: str | None,
    as_json: bool,
    max_depth: int | None,
    max_age: float | None,
    max_dead: int | None,
) -> None:
    """Show the queues: depth, age of the oldest message, rates, consumers, dead letters.

    Exits with 1, and says why on stderr, if a queue has no consumer, a service is down, a flow
    holds more than --max-depth messages or one older than --max-age, or there are more than
    --max-dead dead letters: so it serves as a check for cron or Nagios.

    It needs AMQP alone: depths are the broker's, ages and rates are reported by the processes.
    Where RabbitMQ's management API answers, it adds what the processes cannot tell.
    """
    broker, topology = settings("status", credentials, endpoints)
    snapshot = role.run(_look(broker, topology, management_url))
    found = problems(snapshot, Limits(max_depth, max_age, max_dead))
    if as_json:
        click.echo(msgspec.json.encode(snapshot))
        for problem in found:
            click.echo(problem, err=True)
    else:
        Console(highlight=False).print(as_view(snapshot, found))
    sys.exit(1 if found else 0)


def settings(
    name: str, credentials: str | None, endpoints: str | None, level: int = logging.ERROR
) -> tuple[BrokerSettings, Topology]:
    """Return where to look and for what."""
    logs.configure(name, level)
    channels = load_channels(load_credentials(credentials), credentials or "credentials.yml")
    broker = load_broker(endpoints)
    return broker, broker.topology_of(channels.values())


async def _look(broker: BrokerSettings, topology: Topology, management_url: str | None) -> Snapshot:
    try:
        async with (
            HttpClient(timeout=TIMEOUT) as http,
            connect(broker.url, "status") as connection,
        ):
            url = management_url or default_url(broker.url)
            observer = Observer(broker.url, topology, Management(http, url, broker.url))
            if await observer.listen(connection):
                await asyncio.sleep(PATIENCE)
            return await observer.look(connection)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(f"no broker: {error}; start it, or fix bridge.url") from error
