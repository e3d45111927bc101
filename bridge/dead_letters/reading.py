"""One pass over a dead-letter queue. It publishes nothing.

Quorum queues cannot be read without consuming. So a pass consumes, acks only what it removes, and
closes its channels, which returns the rest in order, as soon as every ack is carried out.

RabbitMQ keeps returned messages apart: they are delivered before the others, and what is returned
again goes behind all of them. So a pass that stops among them would move what it has read. It reads
on to the first message that was never returned, and leaves the queue as it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from msgspec.structs import replace

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.url import Urls
from bridge.errors import BrokerError
from bridge.messages import Delivery

CONSUMERS = 32
"""Consumers at most. On one channel, the messages of up to 32 return in the order of the consumers,
also after SIGKILL; those of more consumers or of several channels do not (measured on 4.0.5)."""
PREFETCH = 1000
"""Messages in memory, unless the queue is longer than `CONSUMERS` times that."""
MOST_PREFETCH = 65535
"""Limit of AMQP's prefetch count."""
IDLE = 2.0
"""Seconds without a message after which the rest is considered taken by another reader."""
RETURN_TIMEOUT = 10.0
"""Seconds to wait until what was returned is on the queue again."""
ACKS = 500
"""Acks under way at most: RabbitMQ may fall far behind."""
ACK_TIMEOUT = 30.0
"""Seconds to wait until so many are read, or until all are carried out."""


class Holder:
    """One channel of a pass, and how many messages it holds."""

    def __init__(self, channel: ConsumerChannel) -> None:
        self.channel = channel
        self.held = 0
        self.has_acked = False
        """Whether an ack may be under way."""

    def take(self, delivery: Delivery) -> Delivery:
        """Count a message until its ack."""
        self.held += 1
        return replace(delivery, ack=partial(self._ack, delivery.ack))

    async def _ack(self, ack: Callable[[], Awaitable[None]]) -> None:
        self.held -= 1
        self.has_acked = True
        await ack()


class Reading:
    """One pass over a queue, from its head to the tail at the start. Iterate once.

    The caller passes each yielded message to `remove` or `keep`, in any order; the pass ends when
    every message was. At most one consumer at a time has room for messages, otherwise they would
    arrive out of order: the next consumer starts when the previous one is full of kept messages.

    RabbitMQ finds an acked message by walking through the unacked ones of the channel. So a pass
    that `removes` messages from a long queue has a channel for each consumer.
    """

    def __init__(self, connection: Connection, queue: str, depth: int, removes: bool) -> None:
        self._connection = connection
        self._queue = queue
        self._removes = removes
        self.holders: list[Holder] = []
        """The one of the newest consumer comes last."""
        self.unseen = depth
        """Messages still to come; at the end, those that another reader holds or has taken."""
        self._acks = 0
        """Acks since the broker has read all."""
        self._acking = asyncio.Lock()
        self._prefetch = prefetch_for(depth)
        self._arrived: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._undecided = 0
        self._all_decided = asyncio.Event()
        self._all_decided.set()
        self._kept = 0
        """Messages kept since the newest consumer started."""
        self._consuming = False
        self._may_stop = False
        """Whether a message arrived that was never returned: all returned ones are held."""

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        """Yield each message.

        Raises:
            BrokerUnavailable: the connection was lost, or the queue was deleted.
        """
        while (delivery := await self._next()) is not None:
            yield delivery
        await self._all_decided.wait()

    async def remove(self, delivery: Delivery) -> None:
        """Take a message off the queue for good."""
        await self.settle(delivery.ack)
        self._decided()

    def keep(self) -> None:
        """Leave a message on the queue."""
        self._kept += 1
        if self._kept == self._prefetch:
            self._arrived.put_nowait(None)
        self._decided()

    async def settle(self, ack: Callable[[], Awaitable[None]]) -> None:
        """Take a message off the queue that was kept, by its `Delivery.ack`; only after `hold`."""
        async with self._acking:
            await ack()
            self._acks += 1
            if self._acks >= ACKS:
                self._acks = 0
                reads = (h.channel.acks_read(self._prefetch, ACK_TIMEOUT) for h in self._acked())
                await asyncio.gather(*reads)

    async def hold(self) -> None:
        """Receive nothing more. Every message that was kept stays with this pass until its end."""
        for holder in self.holders:
            await holder.channel.stop_consuming()

    async def read_on(self) -> None:
        """Read on, and keep everything, until the rest may be left alone."""
        while self._consuming and not self._may_stop and await self._next() is not None:
            self.keep()

    def _decided(self) -> None:
        self._undecided -= 1
        if not self._undecided:
            self._all_decided.set()

    async def removed(self) -> None:
        """Return once what was removed is off the queue. Nothing may be removed afterwards.

        Raises:
            BrokerUnavailable: some of it may be on the queue again.
        """
        acked = self._acked()
        for holder in acked:
            holder.has_acked = False
        await asyncio.gather(*(h.channel.carried_out(self._queue, ACK_TIMEOUT) for h in acked))

    def _acked(self) -> list[Holder]:
        return [holder for holder in self.holders if holder.has_acked]

    async def give_back(self) -> None:
        """Return everything that was not removed, in order; wait at most `RETURN_TIMEOUT` for it.

        RabbitMQ answers the close of a channel before its messages are back on the queue, so the
        next one closes once they are.
        """
        due = 0
        with suppress(BrokerError):
            await self.hold()
            due = await self._connection.ready_messages(self._queue) or 0
        deadline = time.monotonic() + RETURN_TIMEOUT
        for holder in self.holders:
            await holder.channel.close()
            due += holder.held
            with suppress(BrokerError):
                await self._are_ready(due, deadline)

    async def _are_ready(self, number: int, deadline: float) -> None:
        while time.monotonic() < deadline:
            ready = await self._connection.ready_messages(self._queue)
            if ready is None or ready >= number:
                return
            await asyncio.sleep(0.02)

    async def _next(self) -> Delivery | None:
        """Return the next message, or None after the last one."""
        if not self.unseen:
            return None
        if not self._consuming:
            self._consuming = True
            await self._consume()
        delivery = await self._received()
        if delivery is not None:
            self.unseen -= 1
            self._undecided += 1
            self._all_decided.clear()
            self._may_stop = self._may_stop or not delivery.redelivered
        return delivery

    async def _received(self) -> Delivery | None:
        while True:
            try:
                delivery = await self._arrival()
            except asyncio.TimeoutError:
                await self.check()
                if not self._undecided and await self._is_empty():
                    return None
                continue
            if delivery is not None:
                return delivery
            await self._consume()

    async def _arrival(self) -> Delivery | None:
        if not self._arrived.empty():  # wait_for would create a task
            return self._arrived.get_nowait()
        return await asyncio.wait_for(self._arrived.get(), IDLE)

    async def _is_empty(self) -> bool:
        """Return whether no message waits for a consumer: a slow broker still has some."""
        return not await self._connection.ready_messages(self._queue) and self._arrived.empty()

    async def _consume(self) -> None:
        self._kept = 0
        if self._removes or not self.holders:
            channel = await self._connection.consumer_channel(self._prefetch)
            self.holders.append(Holder(channel))
        holder = self.holders[-1]
        await holder.channel.consume(
            self._queue, lambda delivery: self._arrived.put_nowait(holder.take(delivery))
        )

    async def check(self) -> None:
        """Check that every ack has reached the broker.

        Raises:
            BrokerUnavailable: one may not have.
        """
        for holder in self.holders:
            holder.channel.check()
        await self._connection.lost(timeout=0)


def prefetch_for(depth: int) -> int:
    """Return the prefetch with which `CONSUMERS` consumers can hold the whole queue."""
    return min(max(PREFETCH, -(-depth // CONSUMERS)), MOST_PREFETCH)


@asynccontextmanager
async def reading(
    url: Urls, queue: str, depth: int, *, removes: bool = False
) -> AsyncIterator[Reading]:
    """Open a pass over the first `depth` messages of a queue; messages not removed return to it.

    A block that ends early leaves the order of the queue as it was, unless it is cancelled. One
    that `removes` messages must not be killed, either: then the rest returns in parts.
    """
    async with connect(url, "dead letters") as connection:
        messages = Reading(connection, queue, depth, removes)
        try:
            try:
                yield messages
            except (asyncio.CancelledError, BrokerError):
                raise
            except BaseException:
                await messages.read_on()
                raise
            await messages.read_on()
            await messages.removed()
            await messages.check()
        finally:
            with suppress(BrokerError):
                await messages.removed()
            await messages.give_back()
