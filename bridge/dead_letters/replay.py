"""Replays dead letters: publishes them to where they belong, in order within a conversation.

It reads all of them first, because the order is known only then (`order`). RabbitMQ confirms each
message on its queue before the dead letter is acked. So a replay may end at any point: a `stop`
repeats nothing, and after a crash the messages in flight are published once more, with the same
ids.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass

import msgspec

from bridge.broker.back import put_back
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.connection import connect
from bridge.broker.declare import check_topology
from bridge.broker.stream import StreamWriter
from bridge.broker.stream_link import stream_link
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.order import Letter, Letters
from bridge.dead_letters.queue import Depths, nothing, queue_name
from bridge.dead_letters.reading import Reading, reading
from bridge.errors import MessageError, PublishRefused, Unroutable
from bridge.messages import MESSAGE_OF, DeadLetter, Flow, InboundMessage, Reply, decode
from bridge.processing.lanes import Lanes
from bridge.telemetry import trace
from bridge.telemetry.trace.recorder import Sender, sending

IN_FLIGHT = 64
"""Publishes at a time; each conversation has one at a time."""
UNDECODABLE = "undecodable"
BEHIND = "an earlier message of the conversation was kept"
NOT_CONFIRMED = "not confirmed: the next replay repeats it with the same id"


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


@dataclass(frozen=True)
class Publishing:
    """What is published: the dead letters of one flow, which `messages` holds."""

    publisher: ConfirmChannel
    messages: Reading
    letters: Letters
    flow: Flow


class Replay:
    """Publishes the dead letters that match; its numbers are correct at any time."""

    def __init__(
        self, url: Urls, topology: Topology, wanted: Filter, *, dry_run: bool = False
    ) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self.dry_run = dry_run
        self._separate = True
        """See `Topology.address`."""
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._stopped = False
        self.found = 0
        """Dead letters that match, as far as they were read."""
        self.is_read = False
        """Whether all dead letters were read, so that `left` is known."""
        self.replayed = 0
        self.unanswered = 0
        """Replayed messages whose HTTP request no longer waits."""
        self.kept: Counter[str] = Counter()
        """Reason → number of matching messages that cannot be replayed now."""
        self.is_complete = False
        """Whether every matching message was replayed or kept."""
        self.unseen = 0
        """Messages that another reader held or took."""
        self.failure: Exception | None = None
        """The error that stopped the replay."""

    @property
    def left(self) -> int:
        """Matching messages that were not tried yet."""
        return self.found - self.replayed - self.kept.total()

    def stop(self) -> None:
        """Publish nothing more; `run` ends once the messages in flight are confirmed."""
        self._stopped = True

    async def run(
        self, among: Depths, read: Callable[[], None], replayed: Callable[[], None] = nothing
    ) -> None:
        """Replay; call `read` for each dead letter that was read, `replayed` for each one tried.

        Raises:
            BrokerError: the replay stopped; messages not replayed yet are kept.
        """
        async with self._publishing() as publisher, AsyncExitStack() as held:
            # Replies first: the replies of turns that run again must not overtake them.
            flows = [flow for flow in sorted(among, reverse=True) if among[flow]]
            waiting = []
            for flow in flows:
                queue = queue_name(self._topology, flow)
                pass_ = reading(self._url, queue, among[flow], removes=not self.dry_run)
                messages = await held.enter_async_context(pass_)
                letters = held.enter_context(closing(Letters()))
                await self._read(messages, letters, flow, read)
                waiting.append((flow, messages, letters))
            self.is_read = not self._stopped
            for flow, messages, letters in waiting:
                publishing = Publishing(publisher, messages, letters, flow)
                await self._replay(publishing, replayed)
            self.is_complete = self.is_read and not self.left

    @asynccontextmanager
    async def _publishing(self) -> AsyncIterator[ConfirmChannel]:
        async with connect(self._url, "replay") as connection:
            await check_topology(connection, self._topology)
            self._separate = connection.separates_priorities
            async with stream_link(self._url, "replay trace") as link:
                hops = StreamWriter(link.opened, "replay", self._topology, declares=False)
                async with sending(Sender("replay", hops.write)):
                    yield await connection.confirm_channel()

    async def _read(
        self, messages: Reading, letters: Letters, flow: Flow, tick: Callable[[], None]
    ) -> None:
        """Read the dead letters of a flow, and hold them."""
        if self._stopped:
            return
        async for delivery in messages:
            messages.keep()
            tick()
            letter = DeadLetter.read(delivery, flow)
            if self._wanted.matches(letter):
                self.found += 1
                try:
                    letters.add(decode(delivery.body, MESSAGE_OF[flow]), letter, delivery)
                except MessageError:
                    self.kept[UNDECODABLE] += 1
            if self._stopped:
                return
        self.unseen += messages.unseen
        await messages.hold()

    async def _replay(self, work: Publishing, tick: Callable[[], None]) -> None:
        """Publish the dead letters of a flow, several at a time."""
        blocked: set[int] = set()

        async def bring_back(letter: Letter) -> None:
            try:
                if self._ends:
                    return
                if letter.lane in blocked:
                    self.kept[BEHIND] += 1
                elif not await self._attempt(letter, work):
                    blocked.add(letter.lane)
                tick()
            finally:
                self._slots.release()

        lanes: Lanes[Letter] = Lanes(bring_back)
        try:
            for letter in work.letters.in_order():
                await self._slots.acquire()
                if self._ends:
                    self._slots.release()
                    break
                lanes.put(letter.lane, letter)
            for _ in range(IN_FLIGHT):
                await self._slots.acquire()
            for _ in range(IN_FLIGHT):
                self._slots.release()
        finally:
            await lanes.cancel()
        if self.failure is not None:
            raise self.failure

    @property
    def _ends(self) -> bool:
        return self._stopped or self.failure is not None

    async def _attempt(self, letter: Letter, work: Publishing) -> bool:
        """Publish one message and ack its dead letter; return whether that worked.

        Never raises, as lanes require.
        """
        try:
            body = work.letters.body(letter)
            message = decode(body, MESSAGE_OF[work.flow])
            if not self.dry_run:
                again = for_replay(message, body)
                await put_back(
                    work.publisher, self._topology, message, again, separate=self._separate
                )
                trace.note("replayed", message)
                await work.messages.settle(letter.ack)
        except (PublishRefused, Unroutable) as error:
            self.kept[str(error)] += 1
            return False
        except Exception as error:
            self.failure = error
            self.kept[NOT_CONFIRMED] += 1
            return False
        self.replayed += 1
        waited = isinstance(message, InboundMessage) and message.reply_to is not None
        self.unanswered += waited
        return True
