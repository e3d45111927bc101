"""Observes a bridge's queues: depths from the broker, reports from the processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection
from bridge.broker.topology import Depth, Topology
from bridge.broker.url import Urls, safe_url
from bridge.errors import MessageError, TopologyError
from bridge.monitor.compose import Observations, compose
from bridge.monitor.management import Management
from bridge.monitor.snapshot import Snapshot
from bridge.telemetry.reports import EVERY, KEY, Report, decode

MISSED_REPORTS = 3
"""A process that misses this many reports counts as gone."""
ALL_REPORTED = EVERY + 0.5
"""Seconds after which every live process has reported."""


class Observer:
    """Collects observations over any number of consecutive connections."""

    def __init__(
        self,
        url: Urls,
        topology: Topology,
        management: Management | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._broker = safe_url(url)
        self._topology = topology
        self._management = management
        self._clock = clock
        self._reports: dict[str, tuple[float, Report]] = {}
        """Process → (arrival time of its latest report, the report)."""
        self._waiting_since: dict[str, float] = {}

    async def listen(self, connection: Connection) -> ConsumerChannel | None:
        """Receive reports from now on; return the channel to close in the end.

        None if the exchange for reports does not exist yet.
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
        with suppress(MessageError):  # from another version
            report = decode(body)
            self._reports[report.name] = self._clock(), report

    async def look_once(self, connection: Connection) -> Snapshot:
        """Wait until every live process has reported; return the snapshot.

        Raises:
            BrokerError: the broker did not answer.
        """
        if await self.listen(connection):
            await asyncio.sleep(ALL_REPORTED)
        return await self.look(connection)

    async def look(self, connection: Connection) -> Snapshot:
        """Return the snapshot of this moment.

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
        seen = Observations(
            at=now,
            depths=depths,
            reports=reports,
            waiting_since=self._waiting_since,
            sources={"amqp", *(["reports"] * bool(reports)), *(["management"] * bool(answer))},
            alarms=answer.alarms if answer else (),
            unbound=answer.unbound(self._topology.queues()) if answer else (),
        )
        return compose(seen, self._topology, self._broker)

    def _alive(self, now: float) -> list[Report]:
        self._reports = {
            name: (at, report)
            for name, (at, report) in self._reports.items()
            if now - at <= MISSED_REPORTS * report.every
        }
        return [report for _, report in self._reports.values()]

    def _note_waiting(self, depths: dict[str, Depth], reports: list[Report], now: float) -> None:
        held = {queue for r in reports for c in r.consuming for queue in c.held}
        waiting = {name for name, depth in depths.items() if depth.ready and name not in held}
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}
