"""`rasa-bridge top`."""

from __future__ import annotations

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.broker.topology import Topology
from bridge.commands import options
from bridge.commands.status import management_url, settings
from bridge.commands.status_view import as_view
from bridge.http.client import HttpClient
from bridge.monitor.management import TIMEOUT, Management, default_url
from bridge.monitor.observer import Observer
from bridge.monitor.snapshot import Snapshot
from bridge.monitor.verdict import problems
from bridge.monitor.watch import Watch
from bridge.runtime import role
from bridge.runtime.role import process_name
from bridge.settings.files import BrokerSettings


@click.command("top")
@options.credentials
@options.endpoints
@management_url
def command(credentials: str | None, endpoints: str | None, management_url: str | None) -> None:
    """Show what 'status' shows, live, until Ctrl-C; a new look every two seconds."""
    broker, topology = settings("top", credentials, endpoints)
    role.run(_show(broker, topology, management_url))


async def _show(broker: BrokerSettings, topology: Topology, management_url: str | None) -> None:
    url = management_url or default_url(broker.url)
    console = Console(highlight=False)
    with Live(Text("looking …"), console=console, screen=True, auto_refresh=False) as live:
        screen = Screen(live)
        async with HttpClient(timeout=TIMEOUT) as http:
            observer = Observer(broker.url, topology, Management(http, url, broker.url))
            watch = Watch(broker.url, process_name("top"), observer, screen.show, screen.lost)
            await role.serve([watch], _nothing_to_finish)


class Screen:
    """What the terminal shows."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._latest: list[RenderableType] = []

    def show(self, snapshot: Snapshot) -> None:
        self._latest = [as_view(snapshot, problems(snapshot))]
        self._live.update(self._latest[0], refresh=True)

    def lost(self, problem: str) -> None:
        line = Text(f"! no broker: {problem}; trying again. The last look:", style="bold red")
        self._live.update(Group(line, Text(), *self._latest), refresh=True)


async def _nothing_to_finish() -> None:
    return None
