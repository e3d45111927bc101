"""Observes a bridge's queues: depths from the broker, reports from the processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection
from bridge.broker.declare import refuse_other_number
from bridge.broker.pauses import PauseNote, paused_queue, read_note
from bridge.broker.presence import presence_queue
from bridge.broker.topology import Depth, Queue, Topology
from bridge.broker.url import Urls, safe_url
from bridge.errors import BrokerError, MessageError, TopologyError
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.alarm import Alarm
from bridge.monitor.clocks import Clocks
from bridge.monitor.compose import compose
from bridge.monitor.dead_counts import DeadCounts
from bridge.monitor.management import Answer, Management
from bridge.monitor.partitions import Observations
from bridge.monitor.roster import CERTAIN, MOST, RECOVERY, WEBHOOK, Change, Key, Roster, keys_of
from bridge.monitor.samples import Samples
from bridge.monitor.snapshot import Snapshot
from bridge.telemetry.reports import EVERY, KEY, Report, decode

ALL_REPORTED = EVERY + 0.5
"""Seconds after which every live process has reported."""

CHECK_AFTER = 10.0
"""Seconds without a process of a flow until the numbers of partitions are compared, and again."""
ABSENT = 30.0
"""Seconds between two looks for a queue that need not exist: RabbitMQ logs each as an error."""
ABSENT_503 = 5.0
"""The same for the mark of a resize, while webhooks answer 503."""


class Observer:
    """Collects observations over any number of consecutive connections."""

    def __init__(
        self,
        url: Urls,
        topology: Topology,
        management: Management | None = None,
        clock: Callable[[], float] = time.time,
        changed: Callable[[Change], object] = lambda _: None,
        reads_dead: Callable[[], bool] = lambda: False,
    ) -> None:
        """`changed` is called with everything that happens to a process.

        `reads_dead()` tells whether this process reads dead letters now.
        """
        self._broker = safe_url(url)
        self._topology = topology
        self._management = management
        self._clock = clock
        self._roster = Roster(changed)
        self._clocks = Clocks()
        self._alarm = Alarm(url, topology.reports_exchange)
        self._reads_dead = reads_dead
        self._dead = DeadCounts()
        self._has_listened = False
        self._private = ""
        """The queue that receives the reports."""
        self._arrived: list[tuple[float, Report]] = []
        """Reports since the latest look, with the times of their arrival."""
        self._waiting_since: dict[str, float] = {}
        self._absent_until: dict[str, float] = {}
        """Queue that does not exist → when to look for it again."""
        self._check_at = float("inf")
        """When to look for other numbers of partitions: a flow has no process."""
        self._closed_since: float | None = None
        self._webhooks: int | None = None
        self._stopped: dict[Key, PauseNote | None] = {}
        """Flow that an operator has paused → by whom and why, if that is known."""
        inbound, replies = topology.inbound_partitions, topology.reply_partitions
        self._partitions: dict[str, int] = {INBOUND: inbound, REPLIES: replies}

    async def listen(self, connection: Connection) -> ConsumerChannel | None:
        """Receive reports from now on; return the channel to close in the end.

        None if the exchange for reports does not exist yet.
        """
        try:
            await connection.declare((self._topology.reports_exchange,), [], passive=True)
        except TopologyError:
            return None
        if self._has_listened:
            self._roster.reconnected(self._clock())
        self._has_listened = True
        channel = await connection.consumer_channel(prefetch=0)
        self._private = await channel.consume_private(
            lambda delivery: self._take(delivery.body), self._topology.reports_exchange, KEY
        )
        return channel

    def _take(self, body: bytes) -> None:
        if len(self._arrived) >= MOST:
            return
        now = self._clock()
        with suppress(MessageError):  # from another version
            self._arrived.append((now, self._clocks.corrected(decode(body), now)))

    def _take_reports(self) -> None:
        """Pass the reports on, before the depths are read.

        A later report may hold messages that the depths count as waiting.
        """
        arrived, self._arrived = self._arrived, []
        for at, report in arrived:
            if self._roster.take(report, at):  # it has declared its presence queues meanwhile
                for key in keys_of(report):
                    name = presence_queue(self._topology.namespace, *key)
                    self._absent_until.pop(name, None)

    async def check(self, connection: Connection, *, known: bool = False) -> None:
        """Refuse other numbers of partitions than those in force, as the roles do.

        Raises:
            TopologyError: see `declare.refuse_other_number`.
        """
        await refuse_other_number(connection, self._topology, known=known)

    async def look_once(self, connection: Connection) -> Snapshot:
        """Wait until every live process has reported; return the snapshot.

        Raises:
            TopologyError: the broker has other numbers of partitions than the settings.
            BrokerError: the broker did not answer.
        """
        await self.check(connection)
        listening = await self.listen(connection)
        self._roster.update(await self._present(connection), self._clock())
        if listening:
            await asyncio.sleep(ALL_REPORTED)
        snapshot = await self.look(connection)
        # A process that has just started, or one that hangs; an alarm explains both.
        if self._roster.surplus and not self._alarm.name:
            certain = max(self._roster.surplus_since.values()) + CERTAIN
            await asyncio.sleep(max(0.0, certain - self._clock()))
            snapshot = await self.look(connection)
        return snapshot

    async def look(self, connection: Connection) -> Snapshot:
        """Return the snapshot of this moment.

        Raises:
            TopologyError: the broker has other numbers of partitions than the settings.
            BrokerError: the broker did not answer.
        """
        self._take_reports()
        if self._roster.disagrees(self._partitions):
            await self.check(connection)
        elif self._clock() >= self._check_at:
            self._check_at = float("inf")
            await self.check(connection, known=True)
        queues = [queue.name for queue in self._topology.queues()]
        depths = await connection.depths(queues)
        await self._look_for_pauses(connection)
        await self._look_for_resize(connection)
        # Read last: it tells whether a process was killed while the depths were read.
        present = await self._present(connection, depths)
        answer = None
        if self._management:
            answer = await self._management.ask(f"{self._topology.namespace}.", self._private)
        if answer:
            depths = answer.refined(depths)
        self._count_dead(depths)
        now = self._clock()
        self._webhooks = present[WEBHOOK]
        if all(number != 0 for number in present.values()):
            self._roster.all_are_back()
            self._check_at = float("inf")
        elif self._check_at == float("inf"):  # a resize asks to stop processes
            self._check_at = now + CHECK_AFTER
        await self._look_for_alarm(present, now)
        self._roster.update(present, now)
        self._note_waiting(depths, now)
        return compose(self._observations(depths, answer, now), self._topology, self._broker)

    async def _look_for_alarm(self, present: Mapping[Key, int | None], now: float) -> None:
        """Tell processes that hang from those whose reports the broker does not read."""
        is_overdue = self._roster.is_overdue(now)
        if self._alarm.name or is_overdue or self._roster.surplus:
            await self._alarm.look(now, at_once=is_overdue)
        if self._alarm.name:
            self._roster.excuse(now)

    def _count_dead(self, depths: dict[str, Depth]) -> None:
        """Replace the depths of the dead-letter queues: a reader may hold their messages."""
        for name in (queue.name for queue in self._topology.dead_queues()):
            if name in depths:
                number = self._dead.count(name, depths[name], is_read=self._reads_dead())
                depths[name] = depths[name]._replace(ready=number)

    def _observations(
        self, depths: dict[str, Depth], answer: Answer | None, now: float
    ) -> Observations:
        roster = self._roster
        sources = {"amqp", *(["reports"] * bool(roster.live)), *(["management"] * bool(answer))}
        return Observations(
            at=now,
            depths=depths,
            reports=roster.live,
            waiting_since=self._waiting_since,
            sources=sources,
            alarms=answer.alarms if answer else (),
            alarms_since=self._alarm.since(answer and answer.alarms, now, heard=bool(roster.live)),
            blocked=self._alarm.name,
            closed_since=self._closed_since,
            is_recovering=now < roster.reconnected_at + RECOVERY,
            unbound=answer.unbound(self._topology.queues()) if answer else (),
            unsure=roster.unsure,
            hanging=roster.hanging,
            unheard=roster.unheard,
            ahead=self._clocks.ahead,
            surplus=roster.surplus,
            surplus_since=roster.surplus_since,
            orphans={queue: orphan.oldest_at for queue, orphan in roster.orphans.items()},
            stopped=self._stopped,
            being_read=self._dead.being_read,
            webhooks=self._webhooks,
        )

    async def _present(
        self, connection: Connection, depths: Mapping[str, Depth] | None = None
    ) -> dict[Key, int | None]:
        """Return the number of connected processes that consume each flow, and of webhooks.

        Where they have no presence queue, because of their version or their permissions, it is 1 or
        0 if none of them reports, else unknown.
        """
        now = self._clock()
        keys = {**self._keys(), WEBHOOK: []}
        names = {key: presence_queue(self._topology.namespace, *key) for key in keys}
        found = await self._depths(connection, names.values())
        present: dict[Key, int | None] = {}
        for key, queues in keys.items():
            if names[key] in found:
                present[key] = found[names[key]].consumers
            elif key == WEBHOOK:
                present[key] = None
            elif depths is not None and not self._roster.is_reported(key, now):
                consumed = [depths[q.name].consumers for q in queues if q.name in depths]
                present[key] = max(consumed, default=0)
            else:
                present[key] = None
        return present

    def _keys(self) -> dict[Key, list[Queue]]:
        """Return each flow, and the queues that tell whether it is consumed."""
        keys: dict[Key, list[Queue]] = {(INBOUND, ""): self._topology.inbound_queues()}
        for channel in self._topology.channels:
            keys[REPLIES, channel] = self._topology.reply_queues(channel)
        return keys

    async def _depths(self, connection: Connection, names: Iterable[str]) -> dict[str, Depth]:
        """Return the depths of queues that need not exist."""
        now = self._clock()
        wanted = [name for name in names if now >= self._absent_until.get(name, 0.0)]
        found = await connection.depths(wanted)
        self._absent_until |= {name: now + ABSENT for name in wanted if name not in found}
        return found

    async def _look_for_pauses(self, connection: Connection) -> None:
        """Find the flows that an operator has paused; read each note once."""
        names = {key: paused_queue(self._topology, *key).name for key in self._keys()}
        found = await self._depths(connection, names.values())
        paused = [key for key, name in names.items() if name in found and found[name].ready]
        self._stopped = {key: self._stopped.get(key) for key in paused}
        for key, note in self._stopped.items():
            if note is None:
                with suppress(BrokerError):
                    self._stopped[key] = await read_note(connection, self._topology, *key)

    async def _look_for_resize(self, connection: Connection) -> None:
        """Find out whether a resize keeps messages from the inbound queues."""
        name, now = self._topology.closed, self._clock()
        if self._closed_since is None and Samples(self._roster.live).answers_503:
            until = self._absent_until.get(name, 0.0)
            self._absent_until[name] = min(until, now + ABSENT_503)
        there = name in await self._depths(connection, [name])
        self._closed_since = (self._closed_since or now) if there else None

    def look_again(self) -> None:
        """Look at once for queues that did not exist: one was declared."""
        self._absent_until.clear()

    def _note_waiting(self, depths: dict[str, Depth], now: float) -> None:
        reports = [*self._roster.live, *self._roster.hanging]
        held = {queue for r in reports for c in r.consuming for queue in c.held}
        waiting = {name for name, depth in depths.items() if depth.ready and name not in held}
        self._waiting_since = {name: self._waiting_since.get(name, now) for name in waiting}
        for queue in depths.keys() - waiting - held:
            self._roster.forget_settled(queue, now)
