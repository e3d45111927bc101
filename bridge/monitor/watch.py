"""Takes a snapshot every two seconds over a supervised connection."""

from __future__ import annotations

from collections.abc import Callable

from bridge.broker.connection import Connection
from bridge.broker.links import Link
from bridge.broker.url import Urls
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
    ) -> None:
        super().__init__(url, name)
        self._observer = observer
        self._on_snapshot = on_snapshot
        self._on_lost = on_lost

    def _is_lost(self) -> None:
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
