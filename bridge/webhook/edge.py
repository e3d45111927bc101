"""What a webhook process keeps up beside its HTTP server: publisher, private queue, inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bridge.broker.links import Link, Publisher
from bridge.broker.queues import Queues
from bridge.broker.relay import RelayReceiver
from bridge.connectors.registry import Channel
from bridge.runtime.role import Service, close, process_name, watch
from bridge.settings.files import BrokerSettings
from bridge.telemetry.reports import Reporter
from bridge.webhook.collect import QueueInbox, ReplyCollector


class Edge:
    """The queue's side of a webhook process."""

    def __init__(self, broker: BrokerSettings, channels: Mapping[str, Channel]) -> None:
        name = process_name("webhook")
        topology = broker.topology_of(channels.values())
        self._publisher = Publisher(broker.url, name, topology)
        self.links: list[Link] = [self._publisher]
        collector = ReplyCollector(broker.url, f"{name} replies", topology)
        if any(c.connector.collects for c in channels.values()):
            self.links.append(collector.link)
        self.reporter = Reporter(name, self._publisher, topology.reports_exchange)
        for channel in channels.values():
            if channel.has_sockets:
                receiver = RelayReceiver(broker.url, name, topology, channel.name)
                channel.connector.receiver = receiver
                self.links.append(receiver)
        self.queues = Queues(self._publisher, topology)
        self.inbox = QueueInbox(self.queues, collector)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        """Connect, and stay connected; `on_failure` gets a TopologyError of the first connect."""
        services: list[Service] = [*self.links, self.reporter]
        self._tasks = [watch(service.run(), on_failure) for service in services]

    async def stop(self) -> None:
        await close(self._tasks)

    def problem(self) -> str | None:
        """Return why a message would not be accepted now, or None."""
        return next((link.problem for link in self.links if not link.ready.is_set()), None)
