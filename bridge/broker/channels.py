"""A channel that consumes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from bridge.broker.arguments import HELD_AT_MOST, HOLD
from bridge.broker.fast_path.consuming import Consuming, Received
from bridge.broker.library import (
    FOREIGN,
    answer,
    closed,
    guarded,
    not_found_is_temporary,
    translated,
)
from bridge.broker.properties import delivery_of
from bridge.broker.transient import write
from bridge.errors import BrokerError, BrokerUnavailable
from bridge.messages import Delivery

UNDER_WAY = 32
"""Commands to a quorum queue beyond which RabbitMQ keeps acks back (see `carried_out`). With fewer
unacked messages, there are never so many: a queue delivers the next one once an ack is carried out.
"""
ROUNDS = 2
"""How often `carried_out` starts and ends a consumer."""
RECENT = 10.0
"""Seconds after which an ack counts as carried out."""
HIGHEST = 2**31 - 1
"""A consumer priority above all others,"""
LOWEST = -(2**31)
"""and one below them."""
CLOSE_WITHIN = 5.0
"""Seconds to wait, before a channel closes, until its acks are carried out."""


async def ignored(_: object) -> None:
    """The message stays unacked until the channel closes."""


class ConsumerChannel:
    """Consumes queues. Closing it returns unacked messages to their queues, in order."""

    def __init__(
        self,
        channel: Any,
        underlay: Any,
        is_alive: Callable[[], bool] = lambda: True,
        lost_with: asyncio.Future[BrokerError] | None = None,
        fast: Consuming | None = None,
        prefetch: int = 0,
    ) -> None:
        """`is_alive` tells whether the connection still counts as open.

        `lost_with` completes when it does not any more. With `fast`, deliveries and settlements
        pass aiormq by; everything else is the same. Each queue may have `prefetch` unacked messages
        (0: any number).
        """
        self._may_keep_back = not 0 < prefetch < UNDER_WAY
        self._fast = fast
        self._channel = channel
        self._underlay = underlay
        self._is_alive = is_alive
        self.lost_with = lost_with
        self.is_open = True
        """False after `abandon` or `close`."""
        self._consumers: set[str] = set()
        """The queues that are consumed."""
        self._settled_at: dict[str, float] = {}
        """Queue → time of the latest ack, on the clock of the event loop."""
        self._now = asyncio.get_running_loop().time

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

        def on_received(received: Received) -> None:
            if self.is_open and self._is_alive():
                on_delivery(self._received(queue, received))

        arguments = None if priority is None else {"x-priority": priority, HOLD: HELD_AT_MOST}
        tag = uuid.uuid4().hex if priority is None else queue
        if self._fast:
            self._fast.on(tag, on_received, no_ack=no_ack)
        with translated(), not_found_is_temporary():
            consuming = self._underlay.basic_consume(
                queue, on_message, no_ack=no_ack, arguments=arguments, consumer_tag=tag
            )
            await answer(consuming, lost=self.lost_with)
        self._consumers.add(queue)

    def _delivery(self, queue: str, message: Any) -> Delivery:
        delivery, properties = message.delivery, message.header.properties
        tag, redelivered = delivery.delivery_tag, bool(delivery.redelivered)
        return self._received(queue, Received(tag, redelivered, properties, bytes(message.body)))

    def _received(self, queue: str, received: Received) -> Delivery:
        return delivery_of(
            queue,
            received,
            partial(self._settle, queue, received.tag),
            partial(self._settle, queue, received.tag, True),
            self.is_current,
        )

    async def activate(self, queue: str) -> None:
        """Have RabbitMQ activate a consumer of a queue that this channel consumes, if none is.

        It does so when any consumer comes or goes (measured on 4.0.5). One with the lowest priority
        receives nothing itself, and if another one is active, it changes nothing.

        Raises:
            BrokerUnavailable: the connection was lost.
        """
        await self._pass_by(queue, LOWEST)

    async def hold_back(self, queue: str) -> None:
        """Have RabbitMQ deliver nothing more of a queue until what this channel holds is settled.

        A consumer with a higher priority has that effect, even if it ends at once (measured on
        4.0.5, read for 4.3). Only while this channel holds a message of the queue: otherwise, that
        consumer would receive messages.

        Raises:
            BrokerUnavailable: the connection was lost.
        """
        await self._pass_by(queue, HIGHEST)

    async def _pass_by(self, queue: str, priority: int) -> None:
        """Start a consumer of a queue, and end it at once."""
        self._send_settled()
        tag, arguments = uuid.uuid4().hex, {"x-priority": priority}
        with translated():
            starting = self._underlay.basic_consume(
                queue, ignored, arguments=arguments, consumer_tag=tag
            )
            await answer(starting, lost=self.lost_with)
            await answer(self._underlay.basic_cancel(tag), lost=self.lost_with)

    async def stop_consuming(self) -> None:
        """Cancel all consumers. Their messages stay held, but the next consumer may start."""
        self._consumers.clear()
        self._send_settled()
        with translated():
            for tag in list(self._underlay.consumers):
                await answer(self._underlay.basic_cancel(tag))

    async def acks_read(self, prefetch: int, within: float) -> None:
        """Return once the broker's channel has read every ack; further consumers get `prefetch`.

        Raises:
            BrokerUnavailable: the connection was lost, or no answer came within `within` seconds.
        """
        self._send_settled()
        with translated():
            qos = self._underlay.basic_qos(prefetch_count=prefetch)
            await answer(qos, within, self.lost_with)

    async def carried_out(self, queue: str, within: float) -> None:
        """Return once the broker has carried out every ack of a queue that this channel consumes.

        While 32 commands to a quorum queue are under way, RabbitMQ keeps back further acks of a
        channel, and drops them if it closes (read in rabbit_fifo_client.erl; 500 of 1,000 seen on
        4.0.5). A consumer that starts or ends waits for these commands; then what was kept back is
        sent, and a further one waits for it. Each consumer may receive one message.

        Raises:
            BrokerUnavailable: the connection was lost, or no answer came within `within` seconds.
        """
        await self.acks_read(1, within)
        with translated():
            for _ in range(ROUNDS):
                tag = uuid.uuid4().hex
                starting = self._underlay.basic_consume(queue, ignored, consumer_tag=tag)
                await answer(starting, within, self.lost_with)
                await answer(self._underlay.basic_cancel(tag), within, self.lost_with)
        self._settled_at.pop(queue, None)

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

    async def send(
        self, exchange: str, routing_key: str, body: bytes, kind: str, name: str
    ) -> None:
        """Publish a transient message; see `transient.write`.

        The broker takes none any more once it has given the messages of this channel to another
        consumer, whatever the process knows of that.
        """
        if self.is_current():
            to, lost = self._channel, self.lost_with
            fast = self._fast.sending if self._fast else None
            await write(to, fast, exchange, routing_key, body, kind=kind, name=name, lost=lost)

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

    async def _settle(self, queue: str, tag: int, requeue: bool = False) -> None:
        """Ack or nack, unless the connection is lost: then the message will be redelivered."""
        if not self.is_open:
            return
        self._settled_at[queue] = self._now()
        if self._fast:
            self._fast.settle(tag, requeue=requeue)
            return
        how = self._underlay.basic_nack if requeue else self._underlay.basic_ack
        # Without `wait`, no future of aiormq is awaited that it could cancel. A close follows
        # the acks on the same connection.
        with suppress(*FOREIGN):
            await how(tag, wait=False)

    def _send_settled(self) -> None:
        """Send what was settled before the next request to the broker."""
        if self._fast:
            self._fast.flush()

    def abandon(self) -> None:
        """From now on, pass nothing to `on_delivery` and ignore every ack."""
        self.is_open = False

    async def close(self) -> None:
        """Close the channel, once its recent acks are carried out, or after `CLOSE_WITHIN`.

        Never `basic.cancel`: the next consumer would start while this one still holds messages.
        """
        self.abandon()
        self._send_settled()
        if not self._is_alive():  # there is no answer to wait for
            return
        try:
            await closed(self._all_carried_out(), CLOSE_WITHIN)
        except asyncio.CancelledError:
            await closed(self._channel.close())
            raise
        await closed(self._channel.close())

    async def _all_carried_out(self) -> None:
        if not self._may_keep_back:
            return
        since = self._now() - RECENT
        for queue, at in list(self._settled_at.items()):
            if at > since:
                await self.carried_out(queue, CLOSE_WITHIN)
