"""Looks at a bridge's queues: asks the broker for depths, listens to the processes' reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection
from bridge.broker.topology import Depth, Topology
from bridge.broker.url import safe_url
from bridge.errors import MessageError, TopologyError
from bridge.monitor.compose import Seen, compose
from bridge.monitor.management import Management
from bridge.monitor.snapshot import Snapshot
from bridge.telemetry.reports import KEY, Report, decode

SILENT = 3
"""A process that has left out so many reports is gone."""


class Observer:
    """What was seen so far, over any number of connections."""

    def __init__(
        self,
        url: str,
        topology: Topology,
        management: Management | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = safe_url(url)
        self._topology = topology
        self._management = management
        self._clock = clock
        self._reports: dict[str, tuple[float, Report]] = {}
        """Process → (when its latest report came, the report)."""
        self._waiting_since: dict[str, float] = {}

    async def listen(self, connection: Connection) -> ConsumerChannel | None:
        """Take the reports that come from now on; close the channel to stop.

        None: nothing is declared yet, so that there are none.
        """
        try:
            await connection.declare((self._topology.reports_exchange,), [], passive=True)
        except TopologyError:
            return None
        channel = await connection.consumer_channel(prefetch=0)
        await channel.consume_private(
            lambda delivery: self._take(delivery.body), self._topology.reports_exchange, KEY
        )
        return channel

    def _take(self, body: bytes) -> None:
        with suppress(MessageError):  # of another version
            report = decode(body)
            self._reports[report.name] = self._clock(), report

    async def look(self, connection: Connection) -> Snapshot:
        """Return what is known now.

        Raises:
            BrokerError: the broker did not answer.
        """
        queues = [queue.name for queue in self._topology.queues()]
        depths = await connection.depths(queues)
        answer = None
        if self._management:
            answer = await self._management.ask(f"{self._topology.namespace}.")
        if answer:
            depths = {
                name: depth._replace(unacked=answer.depths[name].unacked)
                if name in answer.depths
                else depth
                for name, depth in depths.items()
            }
        now = self._clock()
        reports = self._alive(now)
        self._note_waiting(depths, reports, now)
        seen = Seen(
            at=now,
            depths=depths,
            reports=reports,
            waiting_since=self._waiting_since,
            sources={"amqp", *(["reports"] * bool(reports)), *(["management"] * bool(answer))},
            alarms=answer.alarms if answer else (),
        )
        return compose(seen, self._topology, self._broker)

    def _alive(self, now: float) -> list[Report]:
        self._reports = {
            name: (at, report)
            for name, (at, report) in self._reports.items()
            if now - at <= SILENT * report.every
        }
        return [report for _, report in self._reports.values()]

    def _note_waiting(self, depths: dict[str, Depth], reports: list[Report], now: float) -> None:
        held = {queue for r in reports for c in r.consuming for queue in c.held}
        waiting = {name for name, depth in depths.items() if depth.ready and name not in held}
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}
