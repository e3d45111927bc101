"""`rasa-bridge top`."""

from __future__ import annotations

import click

from bridge.commands import options


@click.command("top")
@options.credentials
@options.endpoints
@options.management_url
def command(credentials: str | None, endpoints: str | None, management_url: str | None) -> None:
    """Show 'status' live, refreshed every two seconds.

    Press Ctrl-C to stop.
    """
    from bridge.commands.broker import settings
    from bridge.commands.top_view import show
    from bridge.runtime import role

    broker, topology = settings("top", credentials, endpoints)
    role.run(show(broker.url, topology, management_url))
