"""A live snapshot in the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.commands.status_view import as_view
from bridge.http.client import HttpClient
from bridge.monitor.management import TIMEOUT, Management
from bridge.monitor.observer import Observer
from bridge.monitor.problems import notices, problems
from bridge.monitor.snapshot import Snapshot
from bridge.monitor.watch import Watch
from bridge.runtime import role
from bridge.runtime.role import process_name


async def show(url: Urls, topology: Topology, management_url: str | None) -> None:
    """Draw each new snapshot of the broker at `url` until a signal arrives."""
    console = Console(highlight=False)
    with Live(Text("connecting …"), console=console, screen=True, auto_refresh=False) as live:
        screen = Screen(live)
        async with HttpClient(timeout=TIMEOUT) as http:
            observer = Observer(url, topology, Management(http, management_url, url))
            watch = Watch(url, process_name("top"), observer, screen.show, screen.lost)
            await role.serve([watch], _nothing_to_drain, problem=lambda: watch.problem)


class Screen:
    """Draws snapshots, and the latest one again below the reason while the broker is away."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._latest: list[RenderableType] = []

    def show(self, snapshot: Snapshot) -> None:
        self._latest = [as_view(snapshot, problems(snapshot), notices(snapshot))]
        self._live.update(self._latest[0], refresh=True)

    def lost(self, problem: str) -> None:
        line = Text(f"! no broker: {problem}; retrying. Last known state:", style="bold red")
        self._live.update(Group(line, Text(), *self._latest), refresh=True)


async def _nothing_to_drain() -> None:
    return None
