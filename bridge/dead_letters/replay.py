"""Replay: dead letters go back to where they belong, in order within a conversation.

Each one is confirmed there before it is acked here, so that a replay may end at any point: at
worst what was in flight is published once more, with the same id.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from bridge.broker.channels import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.declare import check_topology
from bridge.broker.topology import Topology
from bridge.dead_letters.filter import KINDS, DeadLetter, Filter
from bridge.dead_letters.queue import Depths, Reading, queue_name, reading
from bridge.errors import MessageError, PublishRefused, Unroutable
from bridge.messages import TYPES, Delivery, InboundMessage, Reply, decode
from bridge.processing.lanes import Lanes

IN_FLIGHT = 64
"""Publishes at a time; one conversation has one at a time."""
CONFIRM_TIMEOUT = 5.0
UNDECODABLE = "undecodable"
BEHIND = "behind one of the same conversation that was kept"
NOT_CONFIRMED = "not confirmed: the next replay repeats it with the same id"
NOT_TRIED = "not tried any more"


@dataclass(frozen=True)
class Target:
    """Where a body goes."""

    exchange: str
    key: str
    body: bytes


def target_of(message: InboundMessage | Reply, body: bytes, topology: Topology) -> Target:
    """Return where a message belongs; its body is as it was, but for a stale `reply_to`.

    The request that `reply_to` names has been answered with an error when its message was set
    aside. Replies sent there would be dropped; without it they go to the channel's reply queues
    or, where it has none, become dead letters.
    """
    if isinstance(message, Reply):
        key = topology.reply_key(message.channel, message.recipient_id)
        return Target(topology.replies_exchange, key, body)
    if message.reply_to is not None:
        # Raw values: whatever a newer version has put there stays as it is.
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        del fields["reply_to"]
        body = msgspec.json.encode(fields)
    return Target(topology.inbound_exchange, topology.inbound_key(message.sender_id), body)


def conversation_of(message: InboundMessage | Reply) -> Hashable:
    """What must stay in order: a conversation's turns, the replies to one recipient."""
    if isinstance(message, Reply):
        return "replies", message.channel, message.recipient_id
    return "inbound", message.sender_id


@dataclass(frozen=True)
class Work:
    """One dead letter that is to be replayed."""

    delivery: Delivery
    message: InboundMessage | Reply


class Publishing:
    """Puts messages where they belong."""

    def __init__(self, channel: ConfirmChannel, topology: Topology) -> None:
        self._channel = channel
        self._topology = topology

    async def publish(self, message: InboundMessage | Reply, body: bytes) -> None:
        """Return once the broker has confirmed it.

        Raises:
            PublishRefused, Unroutable: it cannot go there now.
            BrokerError: nothing can.
        """
        target = target_of(message, body, self._topology)
        await self._channel.publish(
            target.exchange,
            target.key,
            target.body,
            kind=TYPES[type(message)],
            message_id=message.id,
            headers={"traceparent": message.traceparent} if message.traceparent else None,
            timeout=CONFIRM_TIMEOUT,
        )


class Replay:
    """Puts the dead letters that match back on their queues; its numbers are true at any time."""

    def __init__(
        self, url: str, topology: Topology, wanted: Filter, *, dry_run: bool = False
    ) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self._dry_run = dry_run
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._blocked: set[Hashable] = set()
        self.replayed = 0
        self.unanswered = 0
        """Those of them whose request waits for no reply any more."""
        self.kept: Counter[str] = Counter()
        """Reason → how many matched and were not replayed."""
        self.unseen = 0
        self.failure: Exception | None = None
        """Why it stopped early."""

    async def run(self, among: Depths, tick: Callable[[], None]) -> None:
        """Replay; call `tick` for each dead letter that was looked at.

        Raises:
            BrokerError: it stopped; what is not replayed yet is kept.
        """
        async with self._publishing() as publisher:
            # Replies first: those of the turns that run again must not overtake them.
            for flow in sorted(among, reverse=True):
                queue = queue_name(self._topology, flow)
                async with reading(self._url, queue, among[flow]) as messages:
                    await self._replay_flow(messages, flow, publisher, tick)
                self.unseen += messages.unseen
                if self.failure is not None:
                    raise self.failure

    @asynccontextmanager
    async def _publishing(self) -> AsyncIterator[Publishing]:
        async with connect(self._url, "replay") as connection:
            await check_topology(connection, self._topology)
            yield Publishing(await connection.confirm_channel(), self._topology)

    async def _replay_flow(
        self, messages: Reading, flow: str, publisher: Publishing, tick: Callable[[], None]
    ) -> None:
        async def bring_back(work: Work) -> None:
            reason = await self._attempt(work, publisher)
            if reason is not None:
                self.kept[reason] += 1
                self._blocked.add(conversation_of(work.message))
            if reason is not None or self._dry_run:
                messages.keep()
            else:
                await messages.remove(work.delivery)

        lanes: Lanes[Work] = Lanes(bring_back)
        try:
            async for delivery in messages:
                tick()
                if self.failure is not None:
                    messages.keep()
                    break
                if not self._wanted.matches(DeadLetter.read(delivery, flow)):
                    messages.keep()
                    continue
                try:
                    message = decode(delivery.body, KINDS[flow])
                except MessageError:
                    self.kept[UNDECODABLE] += 1
                    messages.keep()
                    continue
                lanes.put(conversation_of(message), Work(delivery, message))
        finally:
            await lanes.cancel()

    async def _attempt(self, work: Work, publisher: Publishing) -> str | None:
        """Publish one; return why it is kept, or None. Never raises, as a lane must not."""
        async with self._slots:
            if self.failure is not None:
                return NOT_TRIED
            if conversation_of(work.message) in self._blocked:
                return BEHIND
            try:
                if not self._dry_run:
                    await publisher.publish(work.message, work.delivery.body)
            except (PublishRefused, Unroutable) as error:
                return str(error)
            except Exception as error:
                self.failure = error
                return NOT_CONFIRMED
        self.replayed += 1
        self.unanswered += isinstance(work.message, InboundMessage) and (
            work.message.reply_to is not None
        )
        return None
