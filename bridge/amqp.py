"""One connection to RabbitMQ: publish, consume, declare. The only home of aio_pika.

No exception of aio_pika leaves this file. Keeping a connection up is `links.py`'s part, what a
message means is `queues.py`'s.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika import exceptions as amqp_errors

from bridge.broker_url import safe_url, with_heartbeat
from bridge.errors import BrokerError, BrokerUnavailable, PublishRefused, TopologyError, Unroutable
from bridge.messages import Delivery
from bridge.topology import Queue

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 5.0

_FOREIGN = (*amqp_errors.CONNECTION_EXCEPTIONS, asyncio.TimeoutError)


@contextmanager
def _translated(url: str = "") -> Iterator[None]:
    """Turn aio_pika's exceptions into ours. A password never appears in a message."""
    try:
        yield
    except amqp_errors.PublishError as error:
        returned: Any = error.message
        key = returned.delivery.routing_key
        raise Unroutable(f"no queue is bound for routing key {key!r}") from error
    except amqp_errors.DeliveryError as error:
        raise PublishRefused("the broker refused the message: its queue is full") from error
    except amqp_errors.ChannelClosed as error:
        raise TopologyError(str(error)) from error
    except BrokerError:
        raise
    except _FOREIGN as error:
        reason = str(error) or type(error).__name__
        raise BrokerUnavailable(f"{safe_url(url)}: {reason}" if url else reason) from error


@asynccontextmanager
async def connect(url: str, name: str) -> AsyncIterator[Connection]:
    """Open one connection, called `name` in the broker's own listings; close it at the end.

    Raises:
        BrokerUnavailable: it cannot be opened within `CONNECT_TIMEOUT` seconds.
    """
    with _translated(url):
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
        # A peer that is gone without a FIN never answers the close.
        with suppress(*_FOREIGN):
            await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT)


class Connection:
    """One open connection. Every method raises `BrokerError`s only."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        connection.close_callbacks.add(self._on_close)

    def _on_close(self, _: Any, error: BaseException | None = None) -> None:
        if not self._lost.done():
            self._lost.set_result(str(error or "closed by the broker"))

    async def watch(self, interval: float) -> None:
        """Ask the broker something every `interval` seconds; without an answer it is lost.

        aiormq 6 (aio-pika 8) sends heartbeats, but misses none.
        """
        try:
            channel = await asyncio.wait_for(self._connection.channel(), 2 * interval)
            while True:
                await asyncio.sleep(interval)
                await asyncio.wait_for(channel.set_qos(prefetch_count=1), 2 * interval)
        except _FOREIGN as error:
            self._on_close(None, error if str(error) else TimeoutError("the broker is silent"))

    async def lost(self, timeout: float | None = None) -> None:
        """Return after `timeout` seconds.

        Raises:
            BrokerUnavailable: at once when the connection, or a channel made by it, has closed.
        """
        await asyncio.wait([self._lost], timeout=timeout)
        if self._lost.done():
            raise BrokerUnavailable(f"connection lost: {self._lost.result()}")

    @property
    def broker_version(self) -> str:
        """As the broker says it when a connection opens, such as `4.0.5`."""
        transport = getattr(self._connection, "transport", None) or self._connection
        properties = getattr(transport, "connection", transport).server_properties
        version = properties.get("version", b"?")
        return version.decode() if isinstance(version, bytes) else str(version)

    async def confirm_channel(self) -> ConfirmChannel:
        with _translated():
            # Without on_return_raises an unroutable message looks published.
            channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            channel.close_callbacks.add(self._on_close)
            return ConfirmChannel(channel)

    async def consumer_channel(self, prefetch: int) -> ConsumerChannel:
        """`prefetch` is the number of unacked messages allowed per queue."""
        with _translated():
            channel = await self._connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch)
            # aiormq's own channel: aio_pika would wrap each delivery in a message object and a
            # task, which is most of the time that consuming takes on its version 8.
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
        """Declare durable direct exchanges and bound queues, or only check that they exist.

        Raises:
            TopologyError: with the broker's words, which name the object and what differs.
        """
        with _translated():
            async with self._connection.channel() as channel:
                for name in exchanges:
                    await channel.declare_exchange(name, "direct", durable=True, passive=passive)
                for spec in queues:
                    queue = await channel.declare_queue(
                        spec.name, durable=True, arguments=spec.arguments, passive=passive
                    )
                    if not passive:
                        await queue.bind(spec.exchange, spec.routing_key)

    async def ready_messages(self, queue: str) -> int | None:
        """Return how many messages wait in a queue, or None if there is no such queue."""
        with _translated():
            try:
                # A channel of its own: a failed passive declaration closes it.
                async with self._connection.channel() as channel:
                    declared = await channel.declare_queue(queue, passive=True)
                    return int(declared.declaration_result.message_count or 0)
            except amqp_errors.ChannelNotFoundEntity:
                return None

    async def delete(self, *, queue: str | None = None, exchange: str | None = None) -> None:
        with _translated():
            async with self._connection.channel() as channel:
                if queue is not None:
                    await channel.queue_delete(queue)
                if exchange is not None:
                    await channel.exchange_delete(exchange)


class ConfirmChannel:
    """Publishes with confirms."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._exchanges: dict[str, Any] = {"": channel.default_exchange}

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        kind: str,
        message_id: str,
        reply_to: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float,
    ) -> None:
        """Publish one persistent message and return once the broker has confirmed it.

        `message_id` goes out as `correlation_id`, cut to the 255 bytes that AMQP allows. The
        property `message_id` must be different for any two publishes in flight, since returns
        are matched by it.

        Raises:
            BrokerUnavailable: no confirm within `timeout` seconds. Ambiguous: the broker may have
                the message, so publishing it again must be harmless.
            PublishRefused: nacked: the queue is at its length limit.
            Unroutable: no queue is bound for the key.
        """
        with _translated():
            if exchange not in self._exchanges:
                self._exchanges[exchange] = await self._channel.get_exchange(exchange, ensure=False)
            message = aio_pika.Message(
                body,
                message_id=uuid.uuid4().hex,
                correlation_id=message_id.encode()[:255].decode(errors="ignore"),
                type=kind,
                app_id="rasa-channel-bridge",
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                reply_to=reply_to,
                # Floats as texts: the libraries write 24 bits, two minutes of a Unix time.
                headers={k: str(v) if type(v) is float else v for k, v in (headers or {}).items()},
                timestamp=time.time(),
            )
            # A deadline around the whole call: publish(timeout=) leaves out waiting for a socket.
            await asyncio.wait_for(
                self._exchanges[exchange].publish(message, routing_key, mandatory=True), timeout
            )


class ConsumerChannel:
    """Consumes queues; closing it gives what is unacked back to them, in order."""

    def __init__(self, channel: Any, underlay: Any) -> None:
        self._channel = channel
        self._underlay = underlay
        self.is_open = True
        """False once we have given it up ourselves."""
        self._consumers = 0

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        priority: int | None = None,
        no_ack: bool = False,
    ) -> None:
        """Hand each message of a queue to `on_delivery`, in the queue's order.

        `priority` is https://www.rabbitmq.com/docs/consumer-priority; with `no_ack` a message is
        settled when it is handed out.
        """

        async def on_message(message: Any) -> None:
            if not self.is_open:
                return
            properties = message.header.properties
            tag = message.delivery.delivery_tag
            on_delivery(
                Delivery(
                    queue=queue,
                    body=bytes(message.body),
                    kind=properties.message_type,
                    message_id=properties.correlation_id,
                    redelivered=bool(message.delivery.redelivered),
                    delivery_count=int((properties.headers or {}).get("x-delivery-count") or 0),
                    ack=lambda: self._ack(tag),
                    headers=properties.headers or {},
                )
            )

        arguments = None if priority is None else {"x-priority": priority}
        with _translated():
            await self._underlay.basic_consume(
                queue, on_message, no_ack=no_ack, arguments=arguments
            )
        self._consumers += 1

    async def consume_private(self, on_delivery: Callable[[Delivery], None]) -> str:
        """Consume a new server-named queue of this connection alone; return its name."""
        with _translated():
            queue = await self._channel.declare_queue(exclusive=True, auto_delete=True)
        name = str(queue.name)
        await self.consume(name, on_delivery, no_ack=True)
        return name

    def check(self) -> None:
        """Look whether every consumer is still there (local, costs nothing).

        Raises:
            BrokerUnavailable: the broker has cancelled one. aiormq forgets such a consumer
                without telling anybody.
        """
        if len(self._underlay.consumers) < self._consumers:
            raise BrokerUnavailable("the broker cancelled a consumer: was its queue deleted?")

    async def _ack(self, tag: int) -> None:
        """Does nothing once the connection is lost: the message will come again."""
        if self.is_open:
            with suppress(*_FOREIGN):
                await self._underlay.basic_ack(tag)

    def abandon(self) -> None:
        """From now on nothing is handed out and every ack is a no-op."""
        self.is_open = False

    async def close(self) -> None:
        """Close the channel. Never `basic.cancel`: it would let the next consumer start while
        this one still holds messages."""
        self.abandon()
        with suppress(*_FOREIGN):
            await asyncio.wait_for(self._channel.close(), CLOSE_TIMEOUT)
