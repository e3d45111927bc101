"""One process of the bridge: its name, its connections, what it consumes, and how it stops.

Each role (webhook, worker, deliver, hosted mode, `send`) is a `Node` with something to consume,
something to serve, or both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from bridge.broker.links import Consumer, Link
from bridge.broker.pauses import PauseWatch
from bridge.broker.presence import Presence, presence_queue
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.stream import StreamWriter
from bridge.broker.stream_link import StreamLink
from bridge.broker.topology import Queue, Topology, consumer_priority
from bridge.broker.url import longest_heartbeat
from bridge.processing.processor import Processor
from bridge.processing.quarantine import count_crash
from bridge.runtime.role import Service, close, process_name, serve, watch
from bridge.runtime.watchdog import LONGEST_SILENCE, Watchdog
from bridge.runtime.work import Work
from bridge.settings.files import BrokerSettings
from bridge.telemetry import trace
from bridge.telemetry.reports import KEY, Consuming, Reporter
from bridge.telemetry.trace.recorder import Sender


class Node:
    """A process on the broker. Wire it up, then either `serve` it or `start` and `stop` it."""

    def __init__(
        self,
        role: str,
        broker: BrokerSettings,
        topology: Topology,
        *,
        reports: bool = True,
        longest_silence: float = LONGEST_SILENCE,
        model: Callable[[], str] | None = None,
    ) -> None:
        """`topology` is declared by every connection; with `reports`, monitors see the process.

        The process ends once its event loop was silent for `longest_silence` seconds. `model` names
        the model that answers, for monitors.
        """
        self.name = process_name(role)
        self.url = broker.url
        self.topology = topology
        self.publisher = Publisher(self.url, self.name, topology)
        self.queues = Queues(self.publisher, topology)
        self.links: list[Link] = [self.publisher]
        self._consumers: list[Consumer] = []
        self._consuming: list[Callable[[], Consuming]] = []
        self._present: list[str] = []
        """The presence queues of what it does."""
        self._reports = reports
        self._traces = broker.trace
        self._model = model
        heartbeat = longest_heartbeat(self.url)
        self._watchdog = Watchdog(heartbeat, longest_silence, self._convict)
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, link: Link) -> None:
        """Keep up one more connection."""
        self.links.append(link)

    def consume(
        self, partitions: Sequence[Queue], processor: Processor[Any], prefetch: int
    ) -> None:
        """Consume partitions, at most `prefetch` unsettled messages per queue, with a processor.

        The further queues of a partition have the same consumer priority, so that all of them have
        the same active consumer.
        """
        queues = {queue.name: consumer_priority(self.name, queue.name) for queue in partitions}
        queues |= {queue: queues[owner] for queue, owner in processor.owners.items()}
        consumer = Consumer(
            self.url,
            f"{self.name} {processor.channel}".rstrip(),
            self.topology,
            queues,
            prefetch,
            processor.open,
            processor.kind.flow,
            processor.channel,
            processor.owners,
            PauseWatch(self.topology, processor.kind.flow, processor.channel, processor.gate),
        )
        self._consumers.append(consumer)
        number = len(partitions)
        self._consuming.append(lambda: replace(processor.report(), partitions=number))
        self.show_presence(processor.kind.flow, processor.channel)
        self.add(consumer)

    def show_presence(self, what: str, channel: str = "") -> None:
        """Show monitors that this process is one of those that do this, while it is connected."""
        self._present.append(presence_queue(self.topology.namespace, what, channel))

    def services(self) -> list[Service]:
        """Return what runs while the node does; it is closed in reverse order."""
        trace.start_spans(self.name, self.topology.namespace)
        tracing = self._tracing() if self._traces else []
        if not self._reports:
            return [*self.links, *tracing]
        send = partial(self.publisher.unconfirmed.publish, self.topology.reports_exchange, KEY)
        reporter = Reporter(self.name, send, self._consuming, self._model)
        presence = Presence(self.publisher.opened, self._present)
        return [*self.links, presence, reporter, *tracing]

    def _tracing(self) -> list[Service]:
        link = StreamLink(self.url, f"{self.name} trace")
        hops = StreamWriter(link.opened, self.name, self.topology)
        return [link, Sender(self.name, hops.write)]

    async def serve(
        self,
        drain: Callable[[], Awaitable[object]],
        start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Run until SIGTERM or SIGINT, then await `drain` and close; see `runtime.role.serve`.

        Raises:
            TopologyError: the broker and the settings disagree.
        """
        await serve(self.services(), drain, start, problem=self.problem, watchdog=self._watchdog)

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        """Run inside a process whose signals belong to another program.

        `on_failure` receives the `TopologyError` of a first connect.
        """
        self._watchdog.start()
        self._tasks = [watch(service.run(), on_failure) for service in self.services()]

    async def ready(self, timeout: float) -> bool:
        """Return whether every connection is up within `timeout` seconds.

        Raises:
            TopologyError: a connection that was started will never be up.
        """

        async def all_up() -> None:
            for link in self.links:
                await link.ready.wait()

        up = asyncio.ensure_future(all_up())
        try:
            await asyncio.wait(
                [up, *self._tasks], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            for task in self._tasks:
                if task.done():
                    task.result()
            return up.done()
        finally:
            up.cancel()

    async def drain(self, grace: float) -> bool:
        """Start nothing new, wait up to `grace` seconds; return whether all running work ended."""
        ended = await asyncio.gather(*(consumer.drain(grace) for consumer in self._consumers))
        return all(ended)

    async def stop(self) -> None:
        """Close every connection; unsettled messages return to their queues."""
        await close(self._tasks)
        self._watchdog.stop()

    def problem(self) -> str | None:
        """Return why the node cannot do its work now, or None."""
        return next((link.problem for link in self.links if link.problem), None)

    def _convict(self, work: Work) -> None:
        """Count an attempt that blocks the event loop, from the thread of the watchdog."""
        if not work.counted:
            asyncio.run(count_crash(self.url, self.name, self.topology, work.key))
