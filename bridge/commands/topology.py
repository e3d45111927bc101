"""`rasa-bridge topology declare|check|delete|resize`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import click

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import check_topology, delete_topology, ensure_topology
from bridge.broker.resize import Resize
from bridge.broker.topology import Topology
from bridge.broker.url import safe_url
from bridge.commands import options
from bridge.connectors.registry import load_channels
from bridge.errors import BrokerUnavailable, NoVirtualHost, SettingsError
from bridge.runtime import role
from bridge.settings.files import BrokerSettings, load_broker, load_credentials
from bridge.telemetry import logs


@click.group("topology")
def command() -> None:
    """Declare, check, delete or resize the exchanges and queues.

    The roles declare what is missing by themselves, if their broker user may. Use this command
    where only an administrator's user may.
    """


@command.command()
@options.credentials
@options.endpoints
def declare(credentials: str | None, endpoints: str | None) -> None:
    """Declare what is missing; refuse to go on where something exists with other arguments."""
    broker, topology = _settings(credentials, endpoints)

    async def run() -> None:
        async with _connect(broker, "topology declare") as connection:
            await ensure_topology(connection, topology)

    role.run(run())
    _report("declared", broker, topology)


@command.command()
@options.credentials
@options.endpoints
def check(credentials: str | None, endpoints: str | None) -> None:
    """Check that everything is there; change nothing."""
    broker, topology = _settings(credentials, endpoints)

    async def run() -> None:
        async with _connect(broker, "topology check") as connection:
            await check_topology(connection, topology)

    role.run(run())
    _report("there", broker, topology)


@command.command()
@options.credentials
@options.endpoints
@click.option("--force", is_flag=True, help="Also delete queues that hold messages or are read.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(credentials: str | None, endpoints: str | None, force: bool, yes: bool) -> None:
    """Delete the queues and exchanges; queues that hold messages are kept.

    Stop the roles first: they would declare them again. While a queue is being read nothing is
    deleted, unless forced.
    """
    broker, topology = _settings(credentials, endpoints)
    if not yes:
        what = "all queues, with their messages" if force else "all empty queues"
        click.confirm(
            f"Delete {what} of '{topology.namespace}' at {safe_url(broker.url)}?", abort=True
        )

    async def run() -> list[str]:
        async with _connect(broker, "topology delete") as connection:
            return await delete_topology(connection, topology, force=force)

    kept = role.run(run())
    for name in kept:
        click.echo(f"kept, it holds messages: {name}")
    if kept:
        raise SystemExit(1)
    _report("deleted", broker, topology)


@command.command()
@options.credentials
@options.endpoints
@click.option("--inbound", type=click.IntRange(1, 99), help="New number of inbound partitions.")
@click.option("--replies", type=click.IntRange(1, 99), help="New number a channel's replies have.")
def resize(
    credentials: str | None, endpoints: str | None, inbound: int | None, replies: int | None
) -> None:
    """Change the number of partitions; every conversation stays in order.

    The settings must still hold the numbers in force. It refuses new inbound messages (webhooks
    answer 503, so that providers send again), says which roles to stop when, and changes the
    queues once no message waits or is worked on. Interrupted, run it again.
    """
    broker, old = _settings(credentials, endpoints)
    new = replace(
        old,
        inbound_partitions=inbound or old.inbound_partitions,
        reply_partitions=replies or old.reply_partitions,
    )
    if new == old:
        raise SettingsError(
            "nothing to change: --inbound or --replies must differ from bridge.partitions of"
            " endpoints.yml, which holds the numbers in force until the change is done"
        )

    async def run() -> bool:
        async with _connect(broker, "topology resize") as connection:
            resizing = asyncio.ensure_future(Resize(connection, old, new, click.echo).run())
            # Not KeyboardInterrupt, which before Python 3.11 ends the connection's tasks, too.
            role.on_signals(cast(Callable[[], None], resizing.cancel))
            await asyncio.wait({resizing})
            if resizing.cancelled():
                return False
            resizing.result()
            return True

    if not role.run(run()):
        raise SystemExit("rasa-bridge: stopped before the end; run it again")
    _report("there", broker, new)
    click.echo(
        "Write this into endpoints.yml of every process, and start all roles anew:\n"
        f"bridge: {{partitions: {{inbound: {new.inbound_partitions},"
        f" replies: {new.reply_partitions}}}}}"
    )


@asynccontextmanager
async def _connect(broker: BrokerSettings, name: str) -> AsyncIterator[Connection]:
    try:
        async with connect(broker.url, name) as connection:
            yield connection
    except NoVirtualHost:
        raise
    except BrokerUnavailable as error:
        raise BrokerUnavailable(f"no broker: {error}; start it, or fix bridge.url") from error


def _settings(credentials: str | None, endpoints: str | None) -> tuple[BrokerSettings, Topology]:
    logs.configure("topology", logging.ERROR)
    channels = load_channels(load_credentials(credentials), credentials or "credentials.yml")
    broker = load_broker(endpoints)
    return broker, broker.topology_of(channels.values())


def _report(what: str, broker: BrokerSettings, topology: Topology) -> None:
    click.echo(
        f"{what}: {len(topology.exchanges)} exchanges and {len(list(topology.queues()))} queues of"
        f" '{topology.namespace}' at {safe_url(broker.url)}"
    )
