"""Replays dead letters: publishes them to where they belong, in order within a conversation.

The broker confirms each message there before it is acked here. So a replay may end at any point: in
the worst case, the messages in flight are published once more, with the same ids.
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
from bridge.broker.queues import put_back
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import Depths, Reading, queue_name, reading
from bridge.errors import MessageError, PublishRefused, Unroutable
from bridge.messages import MESSAGE_OF, DeadLetter, Delivery, Flow, InboundMessage, Reply, decode
from bridge.processing.lanes import Lanes

IN_FLIGHT = 64
"""Publishes at a time; each conversation has one at a time."""
UNDECODABLE = "undecodable"
BEHIND = "an earlier message of the conversation was kept"
NOT_CONFIRMED = "not confirmed: the next replay repeats it with the same id"
NOT_TRIED = "not tried: the replay had stopped"


def for_replay(message: InboundMessage | Reply, body: bytes) -> bytes:
    """Return a body for replay: marked as a copy, and without a stale `reply_to`.

    A failed call may have been accepted, and a failed turn may have sent replies. The request that
    `reply_to` names was answered with an error when its message was dead-lettered. Replies sent
    there would be dropped. Without it they go to the channel's reply queues or, if it has none,
    become dead letters.
    """
    # Raw values, so that fields of a newer version stay unchanged.
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("reply_to", None)
    fields["redelivered"] = msgspec.Raw(b"true")
    return msgspec.json.encode(fields)


def lane_of(message: InboundMessage | Reply) -> Hashable:
    """Return the key within which a replay keeps the order."""
    return message.flow, message.lane()


@dataclass(frozen=True)
class Work:
    """One dead letter to replay."""

    delivery: Delivery
    message: InboundMessage | Reply


class Replay:
    """Publishes the dead letters that match; its numbers are correct at any time."""

    def __init__(
        self, url: Urls, topology: Topology, wanted: Filter, *, dry_run: bool = False
    ) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self._dry_run = dry_run
        self._separate = True
        """See `Topology.address`."""
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._blocked: set[Hashable] = set()
        self.replayed = 0
        self.unanswered = 0
        """Replayed messages whose HTTP request no longer waits."""
        self.kept: Counter[str] = Counter()
        """Reason → number of matching messages that were not replayed."""
        self.unseen = 0
        """Messages that another reader held or took."""
        self.failure: Exception | None = None
        """The error that stopped the replay."""

    async def run(self, among: Depths, tick: Callable[[], None]) -> None:
        """Replay; call `tick` for each dead letter that was read.

        Raises:
            BrokerError: the replay stopped; messages not replayed yet are kept.
        """
        async with self._publishing() as publisher:
            # Replies first: the replies of turns that run again must not overtake them.
            for flow in sorted(among, reverse=True):
                queue = queue_name(self._topology, flow)
                async with reading(self._url, queue, among[flow]) as messages:
                    await self._replay_flow(messages, flow, publisher, tick)
                self.unseen += messages.unseen
                if self.failure is not None:
                    raise self.failure

    @asynccontextmanager
    async def _publishing(self) -> AsyncIterator[ConfirmChannel]:
        async with connect(self._url, "replay") as connection:
            await check_topology(connection, self._topology)
            self._separate = connection.separates_priorities
            yield await connection.confirm_channel()

    async def _replay_flow(
        self, messages: Reading, flow: Flow, publisher: ConfirmChannel, tick: Callable[[], None]
    ) -> None:
        async def bring_back(work: Work) -> None:
            reason = await self._attempt(work, publisher)
            if reason is not None:
                self.kept[reason] += 1
                self._blocked.add(lane_of(work.message))
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
                    message = decode(delivery.body, MESSAGE_OF[flow])
                except MessageError:
                    self.kept[UNDECODABLE] += 1
                    messages.keep()
                    continue
                lanes.put(lane_of(message), Work(delivery, message))
        finally:
            await lanes.cancel()

    async def _attempt(self, work: Work, publisher: ConfirmChannel) -> str | None:
        """Publish one message; return why it is kept, or None. Never raises, as lanes require."""
        async with self._slots:
            if self.failure is not None:
                return NOT_TRIED
            if lane_of(work.message) in self._blocked:
                return BEHIND
            try:
                if not self._dry_run:
                    body = for_replay(work.message, work.delivery.body)
                    await put_back(
                        publisher, self._topology, work.message, body, separate=self._separate
                    )
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
