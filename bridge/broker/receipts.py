"""The receipt queue of a channel: batches of notes and receipts in, one active consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from bridge.broker.batches import Batches
from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import BrokerUnavailable, Unroutable
from bridge.messages import Delivery
from bridge.messages.receipts import Outcome, batch_of
from bridge.telemetry import metrics

KIND = "receipts"
"""AMQP `type` of batches and reports."""
PREFETCH = 2000
"""Batches that the consumer may hold: a quorum queue allows no more."""


class ReceiptQueue:
    """The publishing side of one channel."""

    def __init__(self, publisher: Publisher, topology: Topology, channel: str) -> None:
        self._publisher = publisher
        self._topology = topology
        self._queue = topology.receipt_queue(channel)
        self._channel = channel

    def batches(self, field: Literal["notes", "receipts"], linger: float = 0.0) -> Batches:
        """Return what publishes items of one kind; see `Batches` for `linger`."""

        async def publish(items: Sequence[bytes]) -> None:
            await self.put(field, items)

        return Batches(publish, linger)

    async def put(self, field: Literal["notes", "receipts"], items: Sequence[bytes]) -> None:
        """Publish one batch of encoded items; raises as `Publisher.publish`."""
        await self._publisher.publish(
            self._queue.exchange,
            self._queue.routing_key,
            batch_of(field, items),
            kind=KIND,
            message_id=field,
        )

    async def report(self, outcome: Outcome, body: bytes) -> None:
        """Publish a report for other systems. Without a queue for it, the broker drops it."""
        key = f"{self._channel}.{outcome}"
        try:
            await self._publisher.publish(
                self._topology.receipts_exchange, key, body, kind=KIND, message_id=key
            )
        except Unroutable:
            return


class ReceiptLink(Link):
    """Consumes the receipt queue of one channel, while no other process does.

    Whatever is not acked when the connection ends is delivered to the next consumer.
    """

    kind = "receipts"

    def __init__(
        self,
        url: Urls,
        name: str,
        topology: Topology,
        channel: str,
        work: Callable[[asyncio.Queue[Delivery]], asyncio.Future[None]],
    ) -> None:
        """`work` begins to work on deliveries; it is cancelled when the connection is lost."""
        super().__init__(url, f"{name} {channel} receipts", channel)
        self._topology = topology
        self._queue = topology.receipt_queue(channel)
        self._work = work

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        channel = await connection.consumer_channel(PREFETCH)
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        working = self._work(arrived)
        try:
            await channel.consume(self._queue.name, arrived.put_nowait, priority=0)
            self._is_ready("joining receipts")
            while not working.done():
                await connection.lost(timeout=CHECK_INTERVAL)
                channel.check()
            working.result()
            raise BrokerUnavailable("the work on receipts has ended")
        finally:
            channel.abandon()
            working.cancel()
            await asyncio.wait([working])
            metrics.receipts_awaited.labels(self.channel).set(0)
            await channel.close()
