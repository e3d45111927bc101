"""Takes a snapshot every two seconds over a supervised connection."""

from __future__ import annotations

from collections.abc import Callable

from bridge.broker.connection import Connection
from bridge.broker.links import Link
from bridge.broker.url import Urls
from bridge.errors import PartitionsDiffer
from bridge.monitor.observer import Observer
from bridge.monitor.snapshot import Snapshot
from bridge.telemetry.reports import EVERY


class Watch(Link):
    """Passes each snapshot to `on_snapshot`, and the reason for each outage to `on_lost`."""

    kind = "monitor"

    def __init__(
        self,
        url: Urls,
        name: str,
        observer: Observer,
        on_snapshot: Callable[[Snapshot], None],
        on_lost: Callable[[str], None],
        on_resize: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_resize` is told, before `on_lost`, if the numbers of partitions are others now."""
        super().__init__(url, name)
        self._observer = observer
        self._on_snapshot = on_snapshot
        self._on_lost = on_lost
        self._on_resize = on_resize

    def _is_lost(self) -> None:
        if isinstance(self.failure, PartitionsDiffer):
            self._on_resize(self.problem)
        self._on_lost(self.problem)

    async def _session(self, connection: Connection) -> None:
        channel = None
        try:
            await self._observer.check(connection, known=self._was_up)
            self._is_ready("watching")
            while True:
                channel = channel or await self._observer.listen(connection)
                self._on_snapshot(await self._observer.look(connection))
                await connection.lost(timeout=EVERY)
        finally:
            if channel:
                await channel.close()
