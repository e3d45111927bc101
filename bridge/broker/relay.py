"""Carries an event from `deliver` to the webhook process that holds a client's socket.

`deliver` publishes each event once, and the queue of every webhook process receives a copy. The
connector decides what an event is and which socket it is for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from bridge.broker.connection import Connection
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.publisher import Publisher
from bridge.broker.seen import HEADER, PING, Seen
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import AccessRefused, BrokerError, ServiceUnavailable, Unroutable
from bridge.messages import Delivery, RecentIds

SEEN_SECONDS = 0.1
"""Time for the answer of the process that holds the client's socket."""
PING_SECONDS = 3.0
"""Time for the first answer of all, without which every event counts as received,"""
PING_EVERY = 60.0
"""and seconds until it is asked for again. Webhooks of an earlier version never answer."""
Answer = Callable[[str, str, bytes], Awaitable[None]]
"""Publishes to an exchange, with a routing key, without a confirm."""
LONGEST_NAME = 255
"""Bytes of a routing key."""
PREFETCH = 100
"""Events that may wait in a webhook process; further ones wait on the broker."""


class RelaySender:
    """The sending side, in `deliver`; implements `connectors.interfaces.EventSender`."""

    def __init__(
        self, publisher: Publisher, topology: Topology, channel: str, seen: Seen | None = None
    ) -> None:
        """`seen` tells what has reached a client; without it, every event counts as received."""
        self._seen = seen
        self._ping_at = 0.0
        """When to ask again whether webhook processes answer."""
        self._publisher = publisher
        self._exchange = topology.sockets_exchange
        self._channel = channel

    async def send(self, id: str, event: bytes, awaited: bool = False) -> bool:
        seen = self._seen if awaited else None
        if seen is None:
            await self._publish(id, event)
            return True
        if seen.has(id):
            return True  # it was late
        if seen.address is None:
            raise ServiceUnavailable(f"no connection to RabbitMQ: {seen.problem}")
        headers = {HEADER: seen.address}
        if not seen.is_answered and time.monotonic() >= self._ping_at:
            await self._publish(PING, b"{}", PING, headers)
            await seen.wait(PING, PING_SECONDS)
            self._ping_at = time.monotonic() + PING_EVERY
        await self._publish(id, event, headers=headers)
        if not seen.is_answered:
            return True  # as far as one can know
        # Not for long, because the attempt holds a slot: what is late counts at the next one.
        return await seen.wait(id, SEEN_SECONDS)

    async def _publish(
        self, id: str, event: bytes, kind: str = "event", headers: dict[str, str] | None = None
    ) -> None:
        try:
            await self._publisher.publish(
                self._exchange, self._channel, event, kind=kind, message_id=id, headers=headers
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

    def __init__(
        self,
        url: Urls,
        name: str,
        topology: Topology,
        channel: str,
        answer: Answer | None = None,
    ) -> None:
        """With `answer`, `deliver` learns which events have reached a client."""
        super().__init__(url, f"{name} {channel}", channel)
        self._answer = answer
        self.reached = True
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
            self.reached = True
            # Anything but an object would end the listener of python-socketio.
            is_event = delivery.kind != PING and delivery.body.startswith(b"{")
            if key not in self._passed_on and is_event:
                yield delivery.body
            if delivery.kind != PING and (self.reached or HEADER not in delivery.headers):
                self._passed_on.add(key)
            if self.reached:
                await self._say_so(delivery)
            await delivery.ack()

    async def _say_so(self, delivery: Delivery) -> None:
        address = delivery.headers.get(HEADER)
        if self._answer is None or not isinstance(address, str):
            return
        if len(address.encode(errors="replace")) > LONGEST_NAME:
            return
        with suppress(BrokerError):  # then the event comes again
            await self._answer(self._exchange, address, (delivery.message_id or "").encode())
