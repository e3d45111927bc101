"""A model of RabbitMQ's quorum queues with a single active consumer. No time, no network.

It reproduces (as measured on 4.0.5) order, delivery tags and prefetch per consumer; when a channel
closes, its unacked messages return to their old positions with a higher delivery count. It stands
in for aiormq, below the real `ConsumerChannel`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from bridge.broker.channels import ConsumerChannel, ignored
from bridge.broker.topology import Depth
from bridge.errors import BrokerUnavailable


@dataclass
class Stored:
    """A message in a queue. `count` is the number of times it was returned."""

    position: int
    queue: str
    body: bytes
    id: str
    count: int = 0


class ModelBroker:
    """Queues, and at most one connection to them."""

    def __init__(self, *queues: str) -> None:
        self.ready: dict[str, list[Stored]] = {queue: [] for queue in queues}
        self.stored: list[Stored] = []
        """All messages ever published. The index is the position."""
        self.settled: list[Stored] = []
        self.online = asyncio.Event()
        self.online.set()
        self.connection: ModelConnection | None = None
        self.tasks: set[asyncio.Future[None]] = set()

    def publish(self, queue: str, body: bytes, id: str, count: int = 0) -> None:
        stored = Stored(len(self.stored), queue, body, id, count)
        self.stored.append(stored)
        self.ready[queue].append(stored)
        self.deliver()

    def deliver(self) -> None:
        """Deliver as many messages as the prefetch allows."""
        for channel in self.connection.channels if self.connection else []:
            channel.deliver()

    @property
    def unacked(self) -> list[Stored]:
        channels = self.connection.channels if self.connection else []
        return [stored for channel in channels for stored in channel.unacked.values()]

    @asynccontextmanager
    async def connect(self, url: str, name: str) -> AsyncIterator[ModelConnection]:
        """Stands in for `bridge.broker.connection.connect`; waits while the broker is offline."""
        await self.online.wait()
        self.connection = connection = ModelConnection(self)
        try:
            yield connection
        finally:
            if self.connection is connection:
                self.lose()

    def lose(self) -> None:
        """Drop the connection. All unacked messages return to their queues."""
        if self.connection is not None:
            self.connection.drop()
            self.connection = None


class ModelConnection:
    """Stands in for `bridge.broker.connection.Connection`."""

    def __init__(self, broker: ModelBroker) -> None:
        self.broker = broker
        self.channels: list[ModelChannel] = []
        self.is_lost = False
        self.url = "amqp://model"

    async def consumer_channel(self, prefetch: int) -> ConsumerChannel:
        await self.lost(0)
        channel = ModelChannel(self, prefetch)
        self.channels.append(channel)
        return ConsumerChannel(channel, channel)

    async def lost(self, timeout: float | None = None) -> None:
        """Wait like the real one, but every timeout passes at once."""
        await asyncio.sleep(0)
        while timeout is None and not self.is_lost:
            await asyncio.sleep(0)
        if self.is_lost:
            raise BrokerUnavailable("connection lost")

    async def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """Return nothing: this model has no overflow queues."""
        await self.lost(0)
        return {}

    def drop(self) -> None:
        self.is_lost = True
        for channel in list(self.channels):
            channel.drop()


class ModelChannel:
    """A consumer channel as `ConsumerChannel` sees it: aio_pika's and aiormq's in one."""

    def __init__(self, connection: ModelConnection, prefetch: int) -> None:
        self.consumers: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self.unacked: dict[int, Stored] = {}
        self._connection = connection
        self._prefetch = prefetch
        self._tags = itertools.count(1)

    async def basic_consume(
        self, queue: str, callback: Callable[[Any], Awaitable[None]], **_: Any
    ) -> None:
        await self._answer()
        if callback is not ignored:  # it receives nothing while there is another consumer
            self.consumers[queue] = callback
        self._connection.broker.deliver()

    async def basic_cancel(self, tag: str) -> None:
        await self._answer()

    async def basic_qos(self, *, prefetch_count: int) -> None:
        await self._answer()

    async def basic_ack(self, tag: int, *, wait: bool) -> None:
        await self._answer()
        # On a real broker, an unknown tag would close the channel.
        self._connection.broker.settled.append(self.unacked.pop(tag))
        self._connection.broker.deliver()

    async def basic_nack(self, tag: int, *, wait: bool) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        await self._answer()
        self.drop()

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self not in self._connection.channels:
            raise ConnectionError("the channel is closed")

    def deliver(self) -> None:
        """Deliver from the queues whose active consumer is on this channel."""
        for queue, callback in self.consumers.items():
            first = next(c for c in self._connection.channels if queue in c.consumers)
            ready = self._connection.broker.ready[queue]
            held = [stored for stored in self.unacked.values() if stored.queue == queue]
            while first is self and ready and len(held) < self._prefetch:
                held.append(ready.pop(0))
                self._hand_out(held[-1], callback)

    def _hand_out(self, stored: Stored, callback: Callable[[Any], Awaitable[None]]) -> None:
        tag = next(self._tags)
        self.unacked[tag] = stored
        headers = {"x-delivery-count": stored.count} if stored.count else {}
        properties = SimpleNamespace(
            message_type="inbound",
            correlation_id=stored.id,
            message_id=str(stored.position),
            headers=headers,
        )
        message = SimpleNamespace(
            body=stored.body,
            header=SimpleNamespace(properties=properties),
            delivery=SimpleNamespace(delivery_tag=tag, redelivered=stored.count > 0),
        )
        # aiormq runs the callback as a task, too.
        task = asyncio.ensure_future(callback(message))
        tasks = self._connection.broker.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def drop(self) -> None:
        """Close the channel. Unacked messages return to their old positions."""
        self._connection.channels.remove(self)
        for stored in self.unacked.values():
            stored.count += 1
            ready = self._connection.broker.ready[stored.queue]
            ready.append(stored)
            ready.sort(key=lambda stored: stored.position)
        self._connection.broker.deliver()
