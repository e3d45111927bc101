"""Which message goes to which exchange with which key. Knows the topology, no connection."""

from __future__ import annotations

from typing import Any

from bridge.broker.links import Publisher
from bridge.broker.topology import Topology
from bridge.dead_letters.filter import DeadLetter
from bridge.errors import BrokerError
from bridge.messages import TYPES, InboundMessage, Reply, ReplyTo, TurnEnd, encode
from bridge.telemetry import logs, metrics


class Queues:
    """Puts messages on their queues. Every method returns once the broker has confirmed.

    Raises (all methods): the errors of `Publisher.publish`, and `MessageError` for a message
    that has no JSON form.
    """

    def __init__(self, publisher: Publisher, topology: Topology) -> None:
        self._publisher = publisher
        self._topology = topology

    async def put_inbound(self, message: InboundMessage) -> None:
        key = self._topology.inbound_key(message.sender_id)
        logs.bind(**message.ids, partition=key.partition("/")[0])
        await self._publish(
            "inbound",
            self._topology.inbound_exchange,
            key,
            encode(message),
            kind=TYPES[InboundMessage],
            message_id=message.id,
            reply_to=message.reply_to.queue if message.reply_to else None,
            headers=_trace(message.traceparent),
        )
        metrics.published.labels("inbound", message.channel).inc()

    async def put_reply(self, reply: Reply, reply_to: ReplyTo | None = None) -> None:
        """Put a reply on its channel's queue, or on the private queue of whoever waits for it."""
        exchange = self._topology.replies_exchange
        key = self._topology.reply_key(reply.channel, reply.recipient_id)
        if reply_to is not None:
            exchange, key = self._topology.private_exchange, reply_to.queue
        await self._publish(
            "reply",
            exchange,
            key,
            encode(reply),
            kind=TYPES[Reply],
            message_id=reply.id,
            headers=_trace(reply.traceparent),
        )
        if reply_to is None:
            metrics.published.labels("replies", reply.channel).inc()

    async def put_turn_end(self, end: TurnEnd, reply_to: ReplyTo) -> None:
        await self._publish(
            "turn_end",
            self._topology.private_exchange,
            reply_to.queue,
            encode(end),
            kind=TYPES[TurnEnd],
            message_id=end.in_reply_to,
        )

    async def put_dead(self, body: bytes, letter: DeadLetter, kind: str | None = None) -> None:
        """Set a message aside with its body as it was."""
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

    async def _publish(self, message: str, *where_and_what: Any, **properties: Any) -> None:
        """`message`: what it is, one of `metrics.MESSAGES`."""
        try:
            await self._publisher.publish(*where_and_what, **properties)
        except BrokerError as error:
            metrics.publish_failures.labels(message, type(error).__name__).inc()
            raise

    async def begin_attempt(self, key: str, expires: float) -> int:
        """Note that an attempt at a message begins; return how many began before and never ended.

        They are forgotten after `expires` seconds without another one.
        """
        return await self._publisher.count_up(self._topology.attempts_counter(key), expires)

    async def end_attempt(self, key: str) -> None:
        """Note that the attempt has ended, in whatever way."""
        await self._publisher.reset(self._topology.attempts_counter(key))


def _trace(traceparent: str | None) -> dict[str, str]:
    return {"traceparent": traceparent} if traceparent else {}
