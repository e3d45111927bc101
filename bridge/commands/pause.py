"""`rasa-bridge pause`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bridge.commands import options
from bridge.commands.values import Channel
from bridge.errors import SettingsError

if TYPE_CHECKING:
    from bridge.broker.topology import Topology

Flow = tuple[str, str]
"""Flow and channel; the channel of `inbound` is empty."""


@click.command("pause")
@click.argument("flow", type=click.Choice(["inbound", "replies"]))
@click.argument("channel", type=Channel(with_reply_queues=True), required=False)
@click.option("--reason", metavar="TEXT", default="", help="Shown with the pause.  [default: none]")
@options.credentials
@options.endpoints
def command(
    flow: str, channel: str | None, reason: str, credentials: str | None, endpoints: str | None
) -> None:
    """Pause the inbound flow or the replies, until 'resume'.

    'pause inbound' stops the turns of all channels; 'pause replies' stops the calls to the services
    of all channels, or of CHANNEL.

    Running turns and calls end, and nothing new starts within about a second. Webhooks go on
    accepting messages. Messages wait in RabbitMQ, in order, and no retry time is counted. The
    pause is stored in RabbitMQ and survives restarts. 'status' and the monitor show it as a
    problem.
    """
    import time

    from bridge.broker.pauses import PauseNote, pause
    from bridge.commands.broker import connected, settings
    from bridge.runtime import role

    broker, topology = settings("pause", credentials, endpoints, inbound_only=flow == "inbound")
    flows = chosen(flow, channel, topology)
    note = PauseNote(time.time(), whoami(), reason)

    async def run() -> None:
        async with connected(broker, "pause") as connection:
            for one in flows:
                await pause(connection, topology, *one, note)

    role.run(run())
    for one in flows:
        name = " ".join(one).rstrip()
        click.echo(f"paused: {name}; to go on: rasa-bridge resume {name}")


def chosen(flow: str, channel: str | None, topology: Topology) -> list[Flow]:
    """Return the flows that the arguments of `pause` and `resume` name.

    Raises:
        SettingsError: the channel does not exist, or none can be chosen.
    """
    if flow == "inbound":
        if channel:
            raise SettingsError(
                "inbound cannot be paused for one channel: all channels share its partitions",
                fix="leave out the channel",
            )
        return [("inbound", "")]
    if channel and channel not in topology.channels:
        known: Sequence[str] = topology.channels
        raise SettingsError(
            f"no channel '{channel}' with reply queues",
            fix=f"use one of: {', '.join(known)}" if known else "see: rasa-bridge channels",
        )
    return [("replies", name) for name in ([channel] if channel else topology.channels)]


def whoami() -> str:
    """Return user and host, as others know them."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = "someone"
    return f"{user}@{socket.gethostname()}"
