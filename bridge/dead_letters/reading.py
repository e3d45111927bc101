"""One pass over a dead-letter queue. It publishes nothing.

Quorum queues cannot be read without consuming. So a pass consumes, acks only what it removes, and
closes the channel, which returns the rest in order, as soon as every ack is carried out.

RabbitMQ keeps returned messages apart: they are delivered before the others, and what is returned
again goes behind all of them. So a pass that stops among them would move what it has read. It reads
on to the first message that was never returned, and leaves the queue as it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.url import Urls
from bridge.errors import BrokerError
from bridge.messages import Delivery

CONSUMERS = 32
"""Consumers on one channel. Up to 32, their messages return in the order of the consumers, also
after SIGKILL; with more consumers or more channels they do not (measured on 4.0.5)."""
PREFETCH = 1000
"""Messages in memory, unless the queue is longer than `CONSUMERS` times that."""
MOST_PREFETCH = 65535
"""Limit of AMQP's prefetch count."""
IDLE = 2.0
"""Seconds without a message after which the rest is considered taken by another reader."""
RETURN_TIMEOUT = 10.0
"""Seconds to wait until what was returned is on the queue again."""
ACKS = 500
"""Acks under way at most. To find a message among 100,000 unacked ones takes RabbitMQ two
milliseconds, so it may fall far behind."""
ACK_TIMEOUT = 30.0
"""Seconds to wait until so many are read, or until all are carried out."""


class Reading:
    """One pass over a queue, from its head to the tail at the start. Iterate once.

    The caller passes each yielded message to `remove` or `keep`, in any order; the pass ends when
    every message was. At most one consumer at a time has room for messages, otherwise they would
    arrive out of order: the next consumer starts when the previous one is full of kept messages.
    """

    def __init__(
        self, connection: Connection, channel: ConsumerChannel, queue: str, depth: int
    ) -> None:
        self._connection = connection
        self._channel = channel
        self._queue = queue
        self.unseen = depth
        """Messages still to come; at the end, those that another reader holds or has taken."""
        self._left = depth
        """Messages that were not removed."""
        self._has_acked = False
        """Whether an ack may be under way."""
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
        self._taken = 0
        """Messages that another reader holds or has taken, as far as it is known."""
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
            self._has_acked = True
            await ack()
            self._left -= 1
            self._acks += 1
            if self._acks >= ACKS:
                self._acks = 0
                await self._channel.acks_read(self._prefetch, ACK_TIMEOUT)

    async def hold(self) -> None:
        """Receive nothing more. Every message that was kept stays with this pass until its end."""
        await self._channel.stop_consuming()

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
        if self._has_acked:
            self._has_acked = False
            await self._channel.carried_out(self._queue, ACK_TIMEOUT)

    async def given_back(self) -> None:
        """Return once every message that was not removed is back, or after `RETURN_TIMEOUT`.

        RabbitMQ answers the close of a channel before its messages are back on the queue.
        """
        deadline = time.monotonic() + RETURN_TIMEOUT
        while time.monotonic() < deadline:
            ready = await self._connection.ready_messages(self._queue)
            if ready is None or ready >= self._left - self._taken:
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
                    self._taken = self.unseen
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
        await self._channel.consume(self._queue, self._arrived.put_nowait)

    async def check(self) -> None:
        """Check that every ack has reached the broker.

        Raises:
            BrokerUnavailable: one may not have.
        """
        self._channel.check()
        await self._connection.lost(timeout=0)


def prefetch_for(depth: int) -> int:
    """Return the prefetch with which `CONSUMERS` consumers can hold the whole queue."""
    return min(max(PREFETCH, -(-depth // CONSUMERS)), MOST_PREFETCH)


@asynccontextmanager
async def reading(url: Urls, queue: str, depth: int) -> AsyncIterator[Reading]:
    """Open a pass over the first `depth` messages of a queue; messages not removed return to it.

    A block that ends early leaves the order of the queue as it was, unless it is cancelled.
    """
    async with connect(url, "dead letters") as connection:
        channel = await connection.consumer_channel(prefetch_for(depth))
        messages = Reading(connection, channel, queue, depth)
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
            await channel.close()
            with suppress(BrokerError):
                await messages.given_back()
