"""Supervised connections: what every link has in common, and the consumer.

A `Link` is a loop: connect → set up → wait until lost → back off with jitter → again. It does not
use aio_pika's `RobustConnection`, which reconnects at a fixed interval, restores channels with old
arguments and can return with zero consumers (aio-pika#231, #626).
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from math import inf
from typing import ClassVar, Protocol

from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.handover import hear
from bridge.broker.overflow import Window
from bridge.broker.pauses import PauseWatch
from bridge.broker.topology import Topology
from bridge.broker.url import Urls, safe_url
from bridge.errors import BrokerError, TopologyError
from bridge.messages import Delivery, Flow
from bridge.runtime.retry import backoff
from bridge.telemetry import logs, metrics
from bridge.telemetry.holdings import ActiveQueues

log = logging.getLogger(__name__)

CHECK_INTERVAL = 1.0
"""Seconds between two checks that the broker has not cancelled a consumer."""


REPEAT_AFTER = 10.0
"""Seconds in which a process does not log a problem again: all of its links have it."""
_logged: dict[tuple[int, str], float] = {}


def is_news(level: int, problem: str) -> bool:
    """Return whether no link of this process has logged a problem at this level lately."""
    now = asyncio.get_running_loop().time()
    if now - _logged.get((level, problem), -inf) < REPEAT_AFTER:
        return False
    for old in [key for key, at in _logged.items() if now - at >= REPEAT_AFTER]:
        del _logged[old]
    _logged[level, problem] = now
    return True


class Link(ABC):
    """One supervised connection. `run` it as a task; cancel the task to close it."""

    kind: ClassVar[str]
    """Its purpose in one word: the label `link` of the metric `connected`."""

    def __init__(self, url: Urls, name: str, channel: str = "") -> None:
        """`channel` is given if the link serves one channel only."""
        self.url = url
        self.name = name
        self.channel = channel
        self.ready = asyncio.Event()
        """Set while connected and set up."""
        self.problem = "not connected yet"
        """Why the link cannot do its work now, for logs; "" if it can."""
        self.failure: BrokerError | None = None
        """Why the latest connection was lost, or could not be set up."""
        self._is_up = False
        self._was_up = False
        """Whether it was set up before, so that the topology is known to the process."""
        self._at = ""
        """The URL of the connection."""

    async def run(self) -> None:
        """Keep the connection up until cancelled.

        Raises:
            TopologyError: the settings and the broker disagree. Raised only before the link was
                ready for the first time; later it keeps trying.
        """
        metrics.connected.labels(self.kind, self.channel).set_function(lambda: self._is_up)
        with logs.bound(channel=self.channel):
            await self._keep_up()

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            try:
                async with connect(self.url, self.name) as connection:
                    self._at = connection.url
                    await self._session(connection)
            except TopologyError as error:
                if not self._was_up:
                    raise
                self.failure, self.problem = error, str(error)
            except BrokerError as error:
                self.failure, self.problem = error, str(error)
            finally:
                # After a session that was up, the back-off starts from the beginning.
                failures = 1 if self._is_up else failures + 1
                self._was_up = self._was_up or self._is_up
                self._is_up = False
                self.ready.clear()
            self._is_lost()
            delay = backoff(failures)
            # While several processes declare the same queues for the first time, RabbitMQ may
            # refuse one of them for a moment. A second failure is trouble.
            is_trouble = self._was_up or failures > 1
            self._report(logging.WARNING if is_trouble else logging.INFO, delay)
            await asyncio.sleep(delay)

    @abstractmethod
    async def _session(self, connection: Connection) -> None:
        """Set up, call `_is_ready`, wait.

        Raises:
            BrokerError: the connection is lost.
        """

    def _is_lost(self) -> None:  # noqa: B027 - optional
        """Called when a connection was lost or could not be opened; `problem` says why."""

    def _report(self, level: int, delay: float) -> None:
        if is_news(level, self.problem):
            log.log(level, "not connected: %s; next try in %.1f s", self.problem, delay)

    def _is_ready(self, what: str) -> None:
        self.problem = ""
        _logged.clear()  # the next loss is news
        self._is_up = True
        self.ready.set()
        log.info("connected to %s, %s", safe_url(self._at), what)


class Generation(Protocol):
    """The work on the deliveries of one AMQP channel; it ends with that channel."""

    def admit(self, delivery: Delivery) -> None:
        """Take on one delivery. Must not raise."""

    def hand_over(self, queue: str) -> None:
        """Return what did not start yet of a partition: another process waits for it."""

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds; return whether all work ended."""

    async def cancel(self) -> None:
        """Cancel all work and wait until it has ended."""


class Consumer(Link):
    """Consumes queues and passes their messages to a generation.

    Each AMQP channel has its generation. When the connection is lost, all work on its messages is
    cancelled before the next generation receives the same messages again.
    """

    kind = "consumer"

    def __init__(
        self,
        url: Urls,
        name: str,
        topology: Topology,
        queues: Mapping[str, int],
        prefetch: int,
        open_generation: Callable[[Window], Generation],
        flow: Flow,
        channel: str = "",
        owners: Mapping[str, str] | None = None,
        pauses: PauseWatch | None = None,
    ) -> None:
        """`queues` maps each queue to the consumer priority (see `consumer_priority`).

        `owners`: see `Topology.owners`. `pauses` looks whether an operator has paused the flow.
        """
        super().__init__(url, name, channel)
        self._topology = topology
        self._queues = queues
        self._prefetch = prefetch
        self._open_generation = open_generation
        self._flow = flow
        self._owners = owners or {}
        self._partitions = len(queues) - len(self._owners)
        self._active = ActiveQueues(self._partitions)
        metrics.partitions_consumed.labels(flow, channel).set(self._partitions)
        metrics.partitions_active.labels(flow, channel).set_function(self._active.number)
        self._pauses = pauses
        self._generation: Generation | None = None
        self._draining = False

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        await self._look_for_pause(connection)  # before anything is consumed
        channel = await connection.consumer_channel(self._prefetch)
        # Nothing is awaited between this look and the generation, which `drain` then finds.
        if self._draining:
            await connection.lost()
        window = Window(connection, channel, self._topology, self._flow, self._prefetch)
        self._generation = generation = self._open_generation(window)

        def admit(delivery: Delivery) -> None:
            self._active.note(self._owners.get(delivery.queue, delivery.queue))
            generation.admit(delivery)

        def asked(queue: str, priority: int) -> None:
            if priority > self._queues.get(queue, inf):
                generation.hand_over(queue)

        try:
            if self._owners:
                await hear(connection, self._topology, asked)
            for queue, priority in self._queues.items():
                await channel.consume(queue, admit, priority=priority)
            self._is_ready(f"consuming {self._partitions} partitions")
            await self._watch(connection, window)
        finally:
            window.abandon()
            try:
                await generation.cancel()
            finally:
                await window.end()

    async def _watch(self, connection: Connection, window: Window) -> None:
        """Raise BrokerUnavailable once the connection or a consumer is gone."""
        while True:
            await connection.lost(timeout=CHECK_INTERVAL)
            window.check()
            self._active.report()
            await self._look_for_pause(connection)

    async def _look_for_pause(self, connection: Connection) -> None:
        if self._pauses is not None:
            await self._pauses.look(connection)

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds; return whether all running work ended.

        The channel stays open meanwhile, so that finished work is acked. Cancel `run` afterwards.
        """
        self._draining = True
        return await self._generation.drain(grace) if self._generation else True
