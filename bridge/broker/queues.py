"""Which message goes to which exchange with which key. Knows the topology, not the connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bridge.broker.counters import Counters
from bridge.broker.delays import delay_key
from bridge.broker.handover import HANDOVER, handover_key, request
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
from bridge.messages.trace_context import MOST_TRACESTATE
from bridge.runtime.retry import backoff
from bridge.telemetry import logs, metrics
from bridge.telemetry.readings import note_dead

log = logging.getLogger(__name__)

LONGEST_PAUSE = 1.0
"""Seconds between two tries to publish a message that must not be lost."""
LONGEST_CONTEXT = 256
"""Characters of a trace context; version 00 of the specification has 55."""
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

    async def put_inbound(self, message: InboundMessage) -> None:
        """Put a user's message on the queue of its partition."""
        separate = self._publisher.separates_priorities
        exchange, key = self._topology.address(message, separate=separate)
        logs.bind(**message.ids, partition=partition_in(key))
        publisher, wait = self._publisher, self._publisher.confirm_timeout
        body, headers = encode(message), trace_headers(message)
        kind, id = TYPES[InboundMessage], message.id
        to = message.reply_to.queue if message.reply_to else None
        try:
            try:  # without the coroutine of `publish`, which repairs what is missing
                begun = publisher.begin(exchange, key, body, kind, id, to, headers, wait)
                if begun is not None:
                    await begun
            except (NotDeclared, Unroutable):
                begun = None
            if begun is None:
                await publisher.publish(
                    exchange, key, body, kind=kind, message_id=id, reply_to=to, headers=headers
                )
        except BrokerError as error:
            _count("inbound", error)
            raise
        metrics.published.of(INBOUND, message.channel).inc()

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
            kind=TYPES[InboundMessage],
            message_id=message.id,
            headers=trace_headers(message),
        )

    async def put_lock(self, queue: str) -> None:
        """Put a token on a normal inbound queue (`processing.partitions`)."""
        # A process that has just started may have messages that wait for it.
        await self.usable()
        exchange, key = self._topology.inbound_exchange, self._topology.key_of(queue)
        await self._publish("lock", exchange, key, b"{}", kind=LOCK, message_id=LOCK)

    async def ask_for(self, queue: str) -> None:
        """Ask the process that holds a partition's normal queue to hand it over (`handover`).

        It may be that no process hears it: then the partition moves later.
        """
        exchange, key = self._topology.private_exchange, handover_key(self._topology)
        body = request(queue, consumer_priority(self._publisher.name, queue))
        # If the broker is away, the token that is published before tells so.
        with suppress(Unroutable, BrokerUnavailable):
            await self._publisher.publish(exchange, key, body, kind=HANDOVER, message_id=HANDOVER)

    async def put_reply(self, reply: Reply, reply_to: ReplyTo | None = None) -> None:
        """Put a reply on its channel's queue, or on the private queue of a waiting request."""
        if reply_to is None:
            exchange, key = self._topology.address(reply)
        else:
            exchange, key = self._topology.private_exchange, reply_to.queue
        try:
            await self._publisher.publish(
                exchange,
                key,
                encode(reply),
                kind=TYPES[Reply],
                message_id=reply.id,
                headers=trace_headers(reply),
                may_repeat=False,  # unmarked; see `QueueOutput`
            )
        except BrokerError as error:
            _count("reply", error)
            raise
        if reply_to is None:
            metrics.published.of(REPLIES, reply.channel).inc()

    async def put_turn_end(self, end: TurnEnd, reply_to: ReplyTo) -> None:
        """Tell the waiting request that its turn has ended."""
        await self._publish(
            "turn_end",
            self._topology.private_exchange,
            reply_to.queue,
            encode(end),
            kind=TYPES[TurnEnd],
            message_id=end.in_reply_to,
        )

    async def put_dead(self, body: bytes, letter: DeadLetter, kind: str | None = None) -> None:
        """Dead-letter a message with its body unchanged."""
        await self._publish(
            "dead_letter",
            self._topology.dead_exchange,
            letter.flow,
            body,
            kind=kind or letter.flow,
            message_id=letter.id,
            headers=letter.headers(),
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
            kind=delivery.kind or "",
            message_id=delivery.message_id or "",
            headers={REPEATED: "true"} if repeated else {},
            via=via,
            may_repeat=False,  # copies are published in order, several at a time
        )

    async def put_settled(self, queue: str) -> None:
        """Note on a queue that a message was settled (`overflow.Place`)."""
        exchange = self._topology.private_exchange
        await self._publish("overflow", exchange, queue, b"", kind="settled", message_id="")

    async def put_mark(self, queue: str, mark: str) -> None:
        """Put a message on an overflow queue that is behind all others (`processing.ahead`)."""
        exchange = self._topology.private_exchange
        await self._publish("overflow", exchange, queue, b"", kind=MARK, message_id=mark)

    async def _publish(
        self, message: str, exchange: str, key: str, body: bytes, **properties: Any
    ) -> None:
        try:
            await self._publisher.publish(exchange, key, body, **properties)
        except BrokerError as error:
            _count(message, error)
            raise

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


def trace_headers(message: InboundMessage | Reply) -> dict[str, str]:
    """Return the AMQP headers that carry the trace context of a message, unless it is too long."""
    if not message.traceparent or len(message.traceparent) > LONGEST_CONTEXT:
        return {}
    if not message.tracestate or len(message.tracestate) > MOST_TRACESTATE:
        return {"traceparent": message.traceparent}
    return {"traceparent": message.traceparent, "tracestate": message.tracestate}


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
