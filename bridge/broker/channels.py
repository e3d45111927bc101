"""Channels of a connection: publish with confirms, and consume."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import aio_pika
from aio_pika import exceptions as amqp_errors
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Basic

from bridge.broker.arguments import HELD_AT_MOST, HOLD
from bridge.broker.library import (
    FOREIGN,
    REASON_TIMEOUT,
    answer,
    closed,
    guarded,
    not_found_is_temporary,
    translated,
)
from bridge.broker.properties import delivery_of
from bridge.errors import AccessRefused, BrokerError, BrokerUnavailable, TopologyError
from bridge.messages import Delivery


class ConfirmChannel:
    """Publishes with confirms. `lost` completes when the connection or the channel closes."""

    def __init__(self, channel: Any, lost: asyncio.Future[BrokerError]) -> None:
        self._channel = channel
        self._lost = lost
        self._blocked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._exchanges: dict[str, Any] = {}
        self.is_overdue = False
        """Whether a confirm did not come in time, so that others may not come either."""

    def block(self, problem: str) -> None:
        """From now on, fail every publish at once, including those that wait for a confirm."""
        if not self._blocked.done():
            self._blocked.set_result(problem)

    def unblock(self) -> None:
        """Publish again."""
        if self._blocked.done():
            self._blocked = asyncio.get_running_loop().create_future()

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

        `message_id` is sent as `correlation_id`, cut to the 255 bytes that AMQP allows. The AMQP
        property `message_id` is a new random value, because returned messages are matched by it
        and it must differ between any two publishes in flight.

        Raises:
            BrokerUnavailable: no confirm within `timeout` seconds, or before the connection was
                lost or blocked. If `unconfirmed`, the broker may have the message nevertheless,
                so publishing it again must be harmless.
            NotDeclared: an exchange to which this channel publishes does not exist, so the broker
                closed the channel. It may have the message nevertheless, too.
            PublishRefused: the queue has reached its length limit.
            TopologyError: the message is too large; the channel is closed.
            Unroutable: no queue is bound for the key.
        """
        if self._blocked.done():
            raise BrokerUnavailable(self._blocked.result())
        with translated():
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
                # Floats as text: the libraries write 24 bits, which is two minutes of a Unix time.
                headers={k: str(v) if type(v) is float else v for k, v in (headers or {}).items()},
                timestamp=time.time(),
            )
            publish = self._exchanges[exchange].publish(message, routing_key, mandatory=True)
            try:
                with translated():
                    await self._confirmed(publish, timeout)
            except BrokerUnavailable as error:
                error.unconfirmed = True
                raise

    async def _confirmed(self, publish: Coroutine[Any, Any, Any], timeout: float) -> None:
        """Wait for a confirm, at most `timeout` seconds.

        aio_pika's own timeout does not cover waiting for the socket, and aiormq 6 leaves publishers
        waiting when the connection is lost.
        """
        publishing = asyncio.ensure_future(publish)
        ends = {publishing, self._lost, self._blocked}
        try:
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if publishing.done() and not await self._is_lost_with(publishing):
                publishing.result()
            elif self._lost.done():
                error = self._lost.result()
                if isinstance(error, TopologyError) and not isinstance(error, AccessRefused):
                    raise error
                raise BrokerUnavailable(f"connection lost before the confirm: {error}")
            elif self._blocked.done():
                raise BrokerUnavailable(self._blocked.result())
            else:
                self.is_overdue = True
                raise BrokerUnavailable(f"no confirm within {timeout:g} s")
        finally:
            publishing.cancel()

    async def _is_lost_with(self, publishing: asyncio.Future[Any]) -> bool:
        """Return whether a publish ended because the channel closed; `_lost` then tells why.

        aiormq ends it first, with whatever error it has at hand, or cancels it.
        """
        error = asyncio.CancelledError() if publishing.cancelled() else publishing.exception()
        if error is None or isinstance(error, (amqp_errors.DeliveryError, ChannelAccessRefused)):
            return False
        await asyncio.wait([self._lost], timeout=REASON_TIMEOUT)
        return self._lost.done() or publishing.cancelled()

    async def close(self, on_close: Callable[..., object]) -> None:
        """Close the channel without calling `on_close`, which was called if it had been lost."""
        self._channel.close_callbacks.discard(on_close)
        await closed(self._channel.close())


class ConsumerChannel:
    """Consumes queues. Closing it returns unacked messages to their queues, in order."""

    def __init__(
        self,
        channel: Any,
        underlay: Any,
        is_alive: Callable[[], bool] = lambda: True,
        lost_with: asyncio.Future[BrokerError] | None = None,
    ) -> None:
        """`is_alive` tells whether the connection still counts as open.

        `lost_with` completes when it does not any more.
        """
        self._channel = channel
        self._underlay = underlay
        self._is_alive = is_alive
        self.lost_with = lost_with
        self.is_open = True
        """False after `abandon` or `close`."""
        self._consumers: set[str] = set()
        """The queues that are consumed."""
        self._consume_again: dict[str, Callable[[], Awaitable[None]]] = {}

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        priority: int | None = None,
        no_ack: bool = False,
    ) -> None:
        """Pass each message of a queue to `on_delivery`, in the queue's order.

        `priority` is the consumer priority (https://www.rabbitmq.com/docs/consumer-priority) of one
        that may hold messages for long. With `no_ack`, the broker settles what it delivers.
        """

        async def on_message(message: Any) -> None:
            if self.is_current():
                on_delivery(self._delivery(queue, message))

        arguments = None if priority is None else {"x-priority": priority, HOLD: HELD_AT_MOST}
        # The tag of `consume_again`; the broker chooses the others.
        tag = None if priority is None else queue
        with translated(), not_found_is_temporary():
            consuming = self._underlay.basic_consume(
                queue, on_message, no_ack=no_ack, arguments=arguments, consumer_tag=tag
            )
            await answer(consuming, lost=self.lost_with)
        self._consumers.add(queue)
        self._consume_again[queue] = partial(
            self.consume, queue, on_delivery, priority=priority, no_ack=no_ack
        )

    def _delivery(self, queue: str, message: Any) -> Delivery:
        tag = message.delivery.delivery_tag
        return delivery_of(
            queue,
            message,
            ack=lambda: self._settle(self._underlay.basic_ack, tag),
            requeue=lambda: self._settle(self._underlay.basic_nack, tag),
            is_current=self.is_current,
        )

    async def get(self, queue: str, within: str) -> Delivery | None:
        """Take the first message of a queue that is not consumed, or None if it is empty.

        The delivery says that it is from the queue `within`.
        """
        with translated():
            message = await answer(self._underlay.basic_get(queue))
        is_empty = isinstance(message.delivery, Basic.GetEmpty)
        return None if is_empty else replace(self._delivery(within, message), overflowed=True)

    async def consume_again(self, queue: str) -> None:
        """Cancel the consumer of a queue, and consume it again.

        Only while this channel holds no message of the queue: the next consumer starts at once.
        """
        self._consumers.discard(queue)
        with translated():
            await answer(self._underlay.basic_cancel(queue))
        await self._consume_again[queue]()

    async def stop_consuming(self) -> None:
        """Cancel all consumers. Their messages stay held, but the next consumer may start."""
        self._consumers.clear()
        with translated():
            for tag in list(self._underlay.consumers):
                await answer(self._underlay.basic_cancel(tag))

    async def consume_private(
        self,
        on_delivery: Callable[[Delivery], None],
        exchange: str,
        key: str | None = None,
        name: str | None = None,
    ) -> str:
        """Consume a new exclusive queue; return its name, which the broker chooses by default.

        The queue is bound to `exchange` with `key`, or by default with its name.
        """
        name = await self._declare_private(exchange, key, name)
        await self.consume(name, on_delivery, no_ack=True)
        return name

    @guarded
    async def _declare_private(self, exchange: str, key: str | None, name: str | None) -> str:
        queue = await self._channel.declare_queue(name, exclusive=True, auto_delete=True)
        name = str(queue.name)
        await queue.bind(exchange, key or name)
        return name

    def check(self) -> None:
        """Check that every consumer still exists. This is a local check and costs nothing.

        Raises:
            BrokerUnavailable: the broker has cancelled a consumer. aiormq forgets it silently.
        """
        if len(self._underlay.consumers) < len(self._consumers):
            raise BrokerUnavailable("the broker cancelled a consumer: was its queue deleted?")

    def is_current(self) -> bool:
        """Return whether the messages of this channel are ours to work on.

        False after `abandon`, `close` or a lost connection: RabbitMQ redelivers them.
        """
        return self.is_open and self._is_alive()

    async def _settle(self, how: Callable[..., Awaitable[None]], tag: int) -> None:
        """Ack or nack, unless the connection is lost: then the message will be redelivered."""
        if self.is_open:
            # Without `wait`, no future of aiormq is awaited that it could cancel. A close follows
            # the acks on the same connection.
            with suppress(*FOREIGN):
                await how(tag, wait=False)

    def abandon(self) -> None:
        """From now on, pass nothing to `on_delivery` and ignore every ack."""
        self.is_open = False

    async def close(self) -> None:
        """Close the channel.

        Never `basic.cancel`: the next consumer would start while this one still holds messages.
        """
        self.abandon()
        if self._is_alive():  # else there is no answer to wait for
            await closed(self._channel.close())
