"""One connection to RabbitMQ: open, watch, declare.

No exception of aio_pika leaves this file and `channels.py`. `links.py` keeps connections up;
`queues.py` knows what a message means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import aio_pika
from aio_pika import exceptions as amqp_errors

from bridge.broker.channels import (
    CLOSE_TIMEOUT,
    FOREIGN,
    ConfirmChannel,
    ConsumerChannel,
    not_found_is_temporary,
    translated,
)
from bridge.broker.topology import Depth, Queue
from bridge.broker.url import with_heartbeat
from bridge.errors import BrokerUnavailable

CONNECT_TIMEOUT = 10.0
"""Seconds until a connection must be open."""


@asynccontextmanager
async def connect(url: str, name: str) -> AsyncIterator[Connection]:
    """Open one connection, listed as `name` by the broker; close it at the end of the block.

    Raises:
        BrokerUnavailable: it did not open within `CONNECT_TIMEOUT` seconds.
        LoginRefused, NoVirtualHost: the broker refused it.
    """
    with translated(url):
        complete, heartbeat = with_heartbeat(url)
        connection = await asyncio.wait_for(
            aio_pika.connect(complete, client_properties={"connection_name": name}),
            CONNECT_TIMEOUT,
        )
    opened = Connection(connection)
    watching = asyncio.ensure_future(opened.watch(heartbeat))
    try:
        yield opened
    finally:
        watching.cancel()
        # A peer that vanished without a FIN never answers the close.
        with suppress(*FOREIGN):
            await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT)


class Connection:
    """One open connection. Its methods raise only `BrokerError`s."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(self._on_close)

    def _on_close(self, _: Any, error: BaseException | None = None) -> None:
        if not self._lost.done():
            self._lost.set_result(str(error or "closed by the broker"))

    async def watch(self, interval: float) -> None:
        """Send a request every `interval` seconds; without an answer the connection is lost.

        aiormq 6 (aio-pika 8) sends heartbeats but does not notice missing ones.
        """
        try:
            channel = await asyncio.wait_for(self._connection.channel(), 2 * interval)
            while True:
                await asyncio.sleep(interval)
                await asyncio.wait_for(channel.set_qos(prefetch_count=1), 2 * interval)
        except FOREIGN as error:
            self._on_close(None, error if str(error) else TimeoutError("the broker is silent"))

    async def lost(self, timeout: float | None = None) -> None:
        """Return after `timeout` seconds (None: never).

        Raises:
            BrokerUnavailable: as soon as the connection, or one of its channels, has closed.
        """
        await asyncio.wait([self._lost], timeout=timeout)
        if self._lost.done():
            raise BrokerUnavailable(f"connection lost: {self._lost.result()}")

    @property
    def broker_version(self) -> str:
        """The version that the broker announced when the connection opened, such as `4.0.5`."""
        transport = getattr(self._connection, "transport", None) or self._connection
        properties = getattr(transport, "connection", transport).server_properties
        version = properties.get("version", b"?")
        return version.decode() if isinstance(version, bytes) else str(version)

    async def confirm_channel(self) -> ConfirmChannel:
        """Open a channel that publishes with confirms."""
        with translated():
            # Without on_return_raises, an unroutable message looks as if it had been published.
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            channel.close_callbacks.add(self._on_close)
            return ConfirmChannel(channel, self._lost)

    async def consumer_channel(self, prefetch: int) -> ConsumerChannel:
        """Open a channel that consumes; `prefetch` limits the unacked messages per queue."""
        with translated():
            channel = await self._connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch)
            # Use aiormq's channel: aio_pika wraps each delivery in a message object and a task,
            # which is most of the CPU time of consuming on its version 8.
            underlay = (
                await channel.get_underlay_channel()
                if hasattr(channel, "get_underlay_channel")
                else channel.channel
            )
            consuming = ConsumerChannel(channel, underlay)

            def on_close(sender: Any, error: BaseException | None = None) -> None:
                if consuming.is_open:
                    self._on_close(sender, error)

            channel.close_callbacks.add(on_close)
            return consuming

    async def declare(
        self, exchanges: tuple[str, ...], queues: list[Queue], *, passive: bool
    ) -> None:
        """Declare durable direct exchanges and bound queues; if `passive`, only check they exist.

        Raises:
            AccessRefused: the user lacks a permission.
            TopologyError: in the broker's words, which name the object and the difference.
        """
        temporary = nullcontext() if passive else not_found_is_temporary()
        with translated(), temporary:
            async with self._connection.channel() as channel:
                for name in exchanges:
                    await channel.declare_exchange(name, "direct", durable=True, passive=passive)
                for spec in queues:
                    queue = await channel.declare_queue(
                        spec.name, durable=True, arguments=spec.arguments, passive=passive
                    )
                    if not passive:
                        await queue.bind(spec.exchange, spec.routing_key)

    async def unbind(self, queues: list[Queue]) -> None:
        """Unbind queues from their exchanges; a missing queue or binding is not an error."""
        with translated():
            async with self._connection.channel() as channel:
                for spec in queues:
                    queue = await channel.get_queue(spec.name, ensure=False)
                    await queue.unbind(spec.exchange, spec.routing_key)

    async def ready_messages(self, queue: str) -> int | None:
        """Return how many messages wait in a queue, or None if the queue does not exist."""
        depth = (await self.depths([queue])).get(queue)
        return depth.ready if depth else None

    async def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """Return the depth of each queue that exists."""
        found = {}
        left = iter(queues)
        with translated():
            while (queue := next(left, None)) is not None:
                try:
                    # A failed passive declaration closes its channel.
                    async with self._connection.channel() as channel:
                        while queue is not None:
                            declared = await channel.declare_queue(queue, passive=True)
                            result = declared.declaration_result
                            found[queue] = Depth(
                                int(result.message_count or 0), int(result.consumer_count or 0)
                            )
                            queue = next(left, None)
                except amqp_errors.ChannelNotFoundEntity:
                    continue
        return found

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Any]:
        """Open a channel of aio_pika, for use inside this package; close it after the block."""
        with translated():
            async with self._connection.channel() as channel:
                yield channel

    async def delete(self, *, queue: str | None = None, exchange: str | None = None) -> None:
        """Delete a queue, with its messages, or an exchange, if it exists."""
        with translated():
            async with self._connection.channel() as channel:
                if queue is not None:
                    await channel.queue_delete(queue)
                if exchange is not None:
                    await channel.exchange_delete(exchange)
