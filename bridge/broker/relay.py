"""Carries an event from `deliver` to the webhook process that holds a client's socket.

`deliver` publishes each event once, and the queue of every webhook process receives a copy. The
connector decides what an event is and which socket it is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bridge.broker.connection import Connection
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import AccessRefused, BrokerError, ServiceUnavailable, Unroutable
from bridge.messages import Delivery, RecentIds

PREFETCH = 100
"""Events that may wait in a webhook process; further ones wait on the broker."""


class RelaySender:
    """The sending side, in `deliver`; implements `connectors.interfaces.EventSender`."""

    def __init__(self, publisher: Publisher, topology: Topology, channel: str) -> None:
        self._publisher = publisher
        self._exchange = topology.sockets_exchange
        self._channel = channel

    async def send(self, id: str, event: bytes) -> None:
        try:
            await self._publisher.publish(
                self._exchange, self._channel, event, kind="event", message_id=id
            )
        except Unroutable as error:
            raise ServiceUnavailable("no webhook process serves the channel's sockets") from error
        except BrokerError as error:
            raise ServiceUnavailable(f"RabbitMQ did not accept the event: {error}") from error


class RelayReceiver(Link):
    """The receiving side, in a webhook process; implements `connectors.interfaces.EventReceiver`.

    Its queue outlives a lost connection and a restart of the broker, and keeps the events that are
    sent meanwhile.
    """

    kind = "relay"

    def __init__(self, url: Urls, name: str, topology: Topology, channel: str) -> None:
        super().__init__(url, f"{name} {channel}", channel)
        self._exchange = topology.sockets_exchange
        self._queue = topology.sockets_queue(channel, name)
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._passed_on = RecentIds(10 * PREFETCH)
        self.receives = False

    async def _session(self, connection: Connection) -> None:
        await self._declare(connection)
        self.receives = True
        channel = await connection.consumer_channel(PREFETCH)
        try:
            await channel.consume(self._queue.name, self._arrived.put_nowait)
            self._is_ready("receiving events for sockets")
            while True:
                await connection.lost(timeout=CHECK_INTERVAL)
                channel.check()
        finally:
            await channel.close()

    async def _declare(self, connection: Connection) -> None:
        try:
            await connection.declare((self._exchange,), [self._queue], passive=False)
        except AccessRefused as error:
            raise AccessRefused(
                error.problem,
                fix="a webhook process needs the permissions to configure, write and read"
                f" {self._exchange}.*",
            ) from error

    async def events(self) -> AsyncIterator[bytes]:
        while True:
            delivery = await self._arrived.get()
            key = (self.channel, delivery.message_id or "")
            if key not in self._passed_on:
                yield delivery.body
                self._passed_on.add(key)
            await delivery.ack()
