"""`rasa-bridge topology declare|check|delete|resize`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import click

from bridge.broker.hashing import MOST_PARTITIONS
from bridge.commands import options
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.broker.topology import Topology
    from bridge.settings.files import BrokerSettings


@click.group("topology")
def command() -> None:
    """Declare, check, delete or resize exchanges and queues.

    Roles declare missing exchanges and queues when they start, if their broker user has the
    configure permission. Use this command where only an administrator has it.
    """


@command.command()
@options.credentials
@options.endpoints
def declare(credentials: str | None, endpoints: str | None) -> None:
    """Declare whatever is missing.

    The command fails if a queue or exchange already exists with different arguments.
    """
    from bridge.broker.declare import ensure_topology
    from bridge.broker.stream import trace_stream
    from bridge.commands.broker import connected, settings
    from bridge.runtime import role

    broker, topology = settings("topology", credentials, endpoints)

    async def run() -> None:
        async with connected(broker, "topology declare") as connection:
            await ensure_topology(connection, topology)
            if broker.trace:
                await connection.declare((), [trace_stream(topology)], passive=False)

    role.run(run())
    _report("declared", broker, topology)


@command.command()
@options.credentials
@options.endpoints
@options.management_url
def check(credentials: str | None, endpoints: str | None, management_url: str | None) -> None:
    """Check that all exchanges, queues and bindings exist.

    The command changes nothing. The exit code is 1 if one is missing. Only RabbitMQ's management
    API can list bindings; without it, the command says so and does not check them.
    """
    from bridge.broker.declare import check_topology
    from bridge.commands.broker import connected, settings
    from bridge.errors import TopologyError
    from bridge.http.client import HttpClient
    from bridge.monitor.management import TIMEOUT, Management
    from bridge.runtime import role

    broker, topology = settings("topology", credentials, endpoints)

    async def run() -> str:
        async with (
            HttpClient(timeout=TIMEOUT) as http,
            connected(broker, "topology check") as connection,
        ):
            await check_topology(connection, topology)
            management = Management(http, management_url, broker.url)
            answer = await management.ask(f"{topology.namespace}.")
            if answer is None:
                return f"bindings not checked: {management.problem}"
            unbound = answer.unbound(topology.queues())
            if unbound:
                raise TopologyError(
                    f"{len(unbound)} queues are not bound, such as {unbound[0]}",
                    fix="bind them: rasa-bridge topology declare",
                )
            return "every queue is bound"

    about_bindings = role.run(run())
    _report("found", broker, topology)
    click.echo(about_bindings)


@command.command()
@options.credentials
@options.endpoints
@click.option(
    "--force", is_flag=True, help="Also delete queues that hold messages or have a consumer."
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def delete(credentials: str | None, endpoints: str | None, force: bool, yes: bool) -> None:
    """Delete empty queues, and the exchanges if no queue is left.

    Stop the roles first, because a running role declares its queues again. If any queue has a
    consumer, nothing is deleted unless --force is given. Queues that hold messages are kept, and
    the exit code is then 1.
    """
    from bridge.broker.declare import delete_topology
    from bridge.broker.url import safe_url
    from bridge.commands.broker import connected, settings
    from bridge.runtime import role

    broker, topology = settings("topology", credentials, endpoints)
    if not yes:
        what = "all queues, with their messages," if force else "all empty queues"
        click.confirm(
            f"Delete {what} of '{topology.namespace}' at {safe_url(broker.url)}?", abort=True
        )

    async def run() -> list[str]:
        async with connected(broker, "topology delete") as connection:
            return await delete_topology(connection, topology, force=force)

    kept = role.run(run())
    for name in kept:
        click.echo(f"kept because it holds messages: {name}")
    if kept:
        raise SystemExit(1)
    _report("deleted", broker, topology)


@command.command()
@options.credentials
@options.endpoints
@click.option(
    "--inbound",
    type=click.IntRange(1, MOST_PARTITIONS),
    metavar="N",
    help="New number of inbound partitions.  [default: unchanged]",
)
@click.option(
    "--replies",
    type=click.IntRange(1, MOST_PARTITIONS),
    metavar="N",
    help="New number of reply partitions per channel.  [default: unchanged]",
)
def resize(
    credentials: str | None, endpoints: str | None, inbound: int | None, replies: int | None
) -> None:
    """Change the number of partitions.

    Every conversation stays in order. Run the command while endpoints.yml still has the current
    numbers. New inbound messages are refused during the change: webhooks answer 503, so providers
    send them again. The command says which roles to stop and when, and changes the queues once no
    message is waiting or in flight. If it is interrupted, run it again.
    """
    from bridge.broker.resize import Resize
    from bridge.commands.broker import connected, settings
    from bridge.runtime import role

    broker, old = settings("topology", credentials, endpoints)
    new = replace(
        old,
        inbound_partitions=inbound or old.inbound_partitions,
        reply_partitions=replies or old.reply_partitions,
    )
    if new == old:
        raise SettingsError(
            "nothing to change",
            fix="give --inbound or --replies a number other than the current one, which"
            " bridge.partitions in endpoints.yml must hold until the change is done",
        )

    async def run() -> bool:
        async with connected(broker, "topology resize") as connection:
            resizing = asyncio.ensure_future(Resize(connection, old, new, click.echo).run())
            # Not by KeyboardInterrupt: before Python 3.11 it also ends the connection's tasks.
            role.on_signals(cast(Callable[[], None], resizing.cancel))
            await asyncio.wait({resizing})
            if resizing.cancelled():
                return False
            resizing.result()
            return True

    if not role.run(run()):
        raise SystemExit("rasa-bridge: the change was interrupted; run the command again")
    _report("declared", broker, new)
    click.echo(
        "Set this in every endpoints.yml, then restart all roles:\n"
        f"bridge: {{partitions: {{inbound: {new.inbound_partitions},"
        f" replies: {new.reply_partitions}}}}}"
    )


def _report(what: str, broker: BrokerSettings, topology: Topology) -> None:
    from bridge.broker.url import safe_url

    click.echo(
        f"{what}: {len(topology.exchanges)} exchanges and {len(list(topology.queues()))} queues of"
        f" '{topology.namespace}' at {safe_url(broker.url)}"
    )
