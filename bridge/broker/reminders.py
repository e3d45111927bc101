"""Moves the messages whose delay is over: to their partition if they are due, else aside again.

A message that is due later waits on queues of RabbitMQ, first on that of the longest delay that
ends before it is due, then on shorter ones. So it outlives every process, and none of them needs a
clock for it. Any worker may move it: it is settled once its next queue has confirmed it, so a
killed worker moves it twice at worst, and the copies have one id.
"""

from __future__ import annotations

import asyncio
import logging
import time

from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.delays import DELAYS
from bridge.broker.links import CHECK_INTERVAL, Link
from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import MessageError, MessageTooLarge
from bridge.messages import INBOUND, DeadLetter, Delivery, InboundMessage, decode
from bridge.telemetry import logs

log = logging.getLogger(__name__)

AT_ONCE = 256
"""Messages that one process moves at a time."""


class DueMessages(Link):
    """Consumes the queue of messages whose delay is over."""

    kind = "reminders"

    def __init__(self, url: Urls, name: str, topology: Topology, queues: Queues) -> None:
        super().__init__(url, f"{name} {self.kind}")
        self._topology = topology
        self._queues = queues

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        channel = await connection.consumer_channel(AT_ONCE)
        moving: set[asyncio.Future[None]] = set()

        def take(delivery: Delivery) -> None:
            task = asyncio.ensure_future(self._move(delivery))
            moving.add(task)
            task.add_done_callback(moving.discard)

        try:
            await channel.consume(self._topology.reminder_queues()[0].name, take)
            self._is_ready("moving what is due")
            while True:
                await connection.lost(timeout=CHECK_INTERVAL)
                channel.check()
        finally:
            channel.abandon()
            for task in moving:
                task.cancel()
            await asyncio.gather(*moving, return_exceptions=True)
            await channel.close()

    async def _move(self, delivery: Delivery) -> None:
        """Publish a message to where it belongs now, then ack it."""
        try:
            if delivery.malformed:
                raise MessageError(delivery.malformed)
            message = decode(delivery.body, InboundMessage)
            with logs.bound(**message.ids):
                await self._pass_on(message)
        except Exception as error:
            # Whatever it is: a message that is not moved would never be settled.
            letter = DeadLetter.of(
                None,
                error
                if isinstance(error, (MessageError, MessageTooLarge))
                else MessageError(logs.described(error)),
                flow=INBOUND,
                reason="undecodable",
                queue=delivery.queue,
                id=delivery.message_id or "",
            )
            await until_confirmed(
                lambda: self._queues.put_dead(delivery.body, letter, delivery.kind), "dead letter"
            )
            with logs.bound(**delivery.ids):
                log.error("dead-lettered: %s", letter.error_class)
        await delivery.ack()

    async def _pass_on(self, message: InboundMessage) -> None:
        due_at = message.due_at or 0.0
        while 0 < (left := due_at - time.time()) < DELAYS[0]:  # noqa: ASYNC110 - no event ends it
            # Less than the shortest delay: without this wait, it would be late. A timer may end a
            # moment early.
            await asyncio.sleep(left)
        put = self._queues.put_inbound if left <= 0 else self._queues.put_aside_until_due
        await until_confirmed(lambda: put(message), "reminder")
