"""`rasa-bridge resume`."""

from __future__ import annotations

import click

from bridge.commands import options
from bridge.commands.pause import chosen
from bridge.commands.values import Channel


@click.command("resume")
@click.argument("flow", type=click.Choice(["inbound", "replies"]))
@click.argument("channel", type=Channel(with_reply_queues=True), required=False)
@options.credentials
@options.endpoints
def command(flow: str, channel: str | None, credentials: str | None, endpoints: str | None) -> None:
    """End a pause, or probe a service that is down.

    'resume replies' without a channel concerns all of them. If the service of a channel is down, it
    is probed now, even if it asked to wait.
    """
    from bridge.broker.pauses import probe, resume
    from bridge.commands.broker import connected, settings
    from bridge.runtime import role

    broker, topology = settings("resume", credentials, endpoints, inbound_only=flow == "inbound")
    flows = chosen(flow, channel, topology)

    async def run() -> list[bool]:
        async with connected(broker, "resume") as connection:
            were_paused = []
            for one in flows:
                were_paused.append(await resume(connection, topology, *one))
                if flow == "replies":
                    await probe(connection, topology, *one)
            return were_paused

    for one, was_paused in zip(flows, role.run(run()), strict=True):
        name = " ".join(one).rstrip()
        click.echo(f"resumed: {name}" if was_paused else f"was not paused: {name}")
