"""Which message goes to which exchange with which key. Knows the topology, not the connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from bridge.broker.counters import Counters
from bridge.broker.delays import delay_key
from bridge.broker.handover import HANDOVER, handover_key, request
from bridge.broker.properties import trace_headers
from bridge.broker.publisher import CONFIRM_TIMEOUT, Publisher
from bridge.broker.topology import Topology, consumer_priority, partition_in
from bridge.errors import (
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    NotDeclared,
    Unroutable,
)
from bridge.messages import (
    INBOUND,
    REPEATED,
    REPLIES,
    TYPES,
    DeadLetter,
    Delivery,
    InboundMessage,
    Reply,
    ReplyTo,
    TurnEnd,
    encode,
)
from bridge.runtime.retry import backoff
from bridge.telemetry import logs, metrics
from bridge.telemetry.noting import NotingCounter
from bridge.telemetry.readings import note_dead

log = logging.getLogger(__name__)

LONGEST_PAUSE = 1.0
"""Seconds between two tries to publish a message that must not be lost."""
LOCK = "lock"
"""AMQP `type` of a token, which locks a partition (`processing.partitions`)."""
MARK = "mark"
"""AMQP `type` of what tells that an overflow queue is empty (`processing.ahead`)."""


class Queues:
    """Puts messages on their queues. Every `put_*` returns once the broker has confirmed.

    Raises (all methods):
        BrokerError: see `Publisher.publish`.
        MessageError: the message cannot be written as JSON.
    """

    def __init__(self, publisher: Publisher, topology: Topology) -> None:
        self._publisher = publisher
        self._topology = topology

    def problem(self) -> str:
        """Return why nothing can be published now, such as an alarm of the broker, or ""."""
        return self._publisher.problem

    async def usable(self) -> None:
        """Return once something can be published, or after the time for a confirm."""
        if not self._publisher.ready.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._publisher.ready.wait(), CONFIRM_TIMEOUT)

    def put_inbound(self, message: InboundMessage) -> Coroutine[Any, Any, None]:
        """Put a user's message on the queue of its partition."""
        separate = self._publisher.separates_priorities
        exchange, key = self._topology.address(message, separate=separate)
        logs.bind(**message.ids, partition=partition_in(key))
        return self._publish(
            "inbound",
            exchange,
            key,
            encode(message),
            TYPES[InboundMessage],
            message.id,
            trace_headers(message),
            message.reply_to.queue if message.reply_to else None,
            published=metrics.published.of(INBOUND, message.channel),
        )

    async def put_aside_until_due(self, message: InboundMessage) -> None:
        """Put a message on the queue of a delay.

        The delay may end before the message is due: `broker.reminders` then puts it aside again.
        """
        delay = delay_key((message.due_at or 0.0) - time.time())
        await self._publish(
            "reminder",
            self._topology.reminders_exchange,
            delay,
            encode(message),
            TYPES[InboundMessage],
            message.id,
            trace_headers(message),
        )

    async def put_lock(self, queue: str) -> None:
        """Put a token on a normal inbound queue (`processing.partitions`)."""
        # A process that has just started may have messages that wait for it.
        await self.usable()
        exchange, key = self._topology.inbound_exchange, self._topology.key_of(queue)
        await self._publish("lock", exchange, key, b"{}", LOCK, LOCK)

    async def ask_for(self, queue: str) -> None:
        """Ask the process that holds a partition's normal queue to hand it over (`handover`).

        It may be that no process hears it: then the partition moves later.
        """
        exchange, key = self._topology.private_exchange, handover_key(self._topology)
        body = request(queue, consumer_priority(self._publisher.name, queue))
        # If the broker is away, the token that is published before tells so.
        with suppress(Unroutable, BrokerUnavailable):
            await self._publisher.publish(exchange, key, body, kind=HANDOVER, message_id=HANDOVER)

    def put_reply(self, reply: Reply, reply_to: ReplyTo | None = None) -> Coroutine[Any, Any, None]:
        """Put a reply on its channel's queue, or on the private queue of a waiting request."""
        if reply_to is None:
            exchange, key = self._topology.address(reply)
            published = metrics.published.of(REPLIES, reply.channel)
        else:
            exchange, key = self._topology.private_exchange, reply_to.queue
            published = None
        return self._publish(
            "reply",
            exchange,
            key,
            encode(reply),
            TYPES[Reply],
            reply.id,
            trace_headers(reply),
            may_repeat=False,  # unmarked; see `QueueOutput`
            published=published,
        )

    async def put_turn_end(self, end: TurnEnd, reply_to: ReplyTo) -> None:
        """Tell the waiting request that its turn has ended."""
        await self._publish(
            "turn_end",
            self._topology.private_exchange,
            reply_to.queue,
            encode(end),
            TYPES[TurnEnd],
            end.in_reply_to,
        )

    async def put_dead(self, body: bytes, letter: DeadLetter, kind: str | None = None) -> None:
        """Dead-letter a message with its body unchanged."""
        await self._publish(
            "dead_letter",
            self._topology.dead_exchange,
            letter.flow,
            body,
            kind or letter.flow,
            letter.id,
            letter.headers(),
        )
        metrics.dead_letters.labels(letter.flow, letter.reason).inc()
        note_dead(letter.flow, letter.channel, letter.cause)

    @property
    def sequence(self) -> object:
        """See `Publisher.sequence`."""
        return self._publisher.sequence

    async def put_aside(
        self, queue: str, delivery: Delivery, *, again: bool = False, via: object = None
    ) -> None:
        """Put a copy of a delivery on an overflow queue (`overflow.Window`).

        `again`: the queue may have a copy already. `via`: see `Publisher.publish`.
        """
        repeated = again or delivery.redelivered
        await self._publish(
            "overflow",
            self._topology.private_exchange,
            queue,
            delivery.body,
            delivery.kind or "",
            delivery.message_id or "",
            {REPEATED: "true"} if repeated else {},
            via=via,
            may_repeat=False,  # copies are published in order, several at a time
        )

    async def put_settled(self, queue: str) -> None:
        """Note on a queue that a message was settled (`overflow.Place`)."""
        exchange = self._topology.private_exchange
        await self._publish("overflow", exchange, queue, b"", "settled", "")

    async def put_mark(self, queue: str, mark: str) -> None:
        """Put a message on an overflow queue that is behind all others (`processing.ahead`)."""
        exchange = self._topology.private_exchange
        await self._publish("overflow", exchange, queue, b"", MARK, mark)

    async def _publish(
        self,
        message: str,
        exchange: str,
        key: str,
        body: bytes,
        kind: str,
        id: str,
        headers: Mapping[str, str] | None = None,
        reply_to: str | None = None,
        may_repeat: bool = True,
        via: object = None,
        published: NotingCounter | None = None,
    ) -> None:
        """Publish a message, and count that; see `Publisher.publish`."""
        publisher, failed = self._publisher, None
        wait = publisher.confirm_timeout
        try:
            begun = None
            try:  # without the coroutine of `publish`, which repairs what is missing
                if via is None:
                    begun = publisher.begin(exchange, key, body, kind, id, reply_to, headers, wait)
                if begun is not None:
                    await begun
            except (NotDeclared, Unroutable) as error:
                begun, failed = None, error
            if begun is None:
                await publisher.publish(
                    exchange,
                    key,
                    body,
                    kind=kind,
                    message_id=id,
                    reply_to=reply_to,
                    headers=headers,
                    may_repeat=may_repeat,
                    via=via,
                    failed=failed,
                )
        except BrokerError as error:
            _count(message, error)
            raise
        if published is not None:
            published.inc()

    @property
    def counters(self) -> Counters:
        """The counters on the broker; `attempts_counter` names them."""
        return self._publisher.counters

    def attempts_counter(self, key: str) -> str:
        """Return the name of the attempt counter of one message."""
        return self._topology.attempts_counter(key)


def _count(message: str, error: BrokerError) -> None:
    """Count a failure to publish; `message` is one of `metrics.MESSAGES`."""
    metrics.publish_failures.labels(message, type(error).__name__).inc()


async def until_confirmed(
    publish: Callable[[], Awaitable[None]],
    what: str,
    *,
    final: tuple[type[BrokerError], ...] = (),
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    failed: BrokerError | None = None,
) -> None:
    """Publish again until the broker confirms, however long that takes: its trouble is no fault of
    the message.

    `what` names the message in the log. `pause(seconds)` waits between two tries and may raise to
    stop them. `failed` is the error of a try that was made before.

    Raises:
        MessageTooLarge: the broker will never accept it.
        BrokerError: the error is of a type in `final`.
    """
    failures = 0
    while True:
        try:
            if failed is not None:
                raise failed
            await publish()
            return
        except BrokerError as error:
            failed = None
            if isinstance(error, (MessageTooLarge, *final)):
                raise
            failures += 1
            if failures & (failures - 1) == 0:  # 1, 2, 4, 8, …: an alarm may last for hours
                log.warning("%s not confirmed yet (%s)", what, error)
            # A try while the broker is unusable costs nothing, and the end must be noticed soon.
            await pause(min(backoff(failures), LONGEST_PAUSE))
