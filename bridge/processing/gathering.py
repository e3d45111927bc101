"""Several messages of a lane as one turn: waits, joins, supersedes, interrupts. No AMQP.

The turn runs as that of its oldest message. The others stay where they are, in the lane, so what
moves or returns the messages of a lane need not know of turns. When the turn has ended, each of
them comes up in the lane, and is settled as the turn was: acked, or dead-lettered. Nothing is
settled before its turn. What another process gets instead is recognised there by its id.

`turns` decides which messages join. Messages without a policy are never touched.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, cast

from bridge.errors import MessageError
from bridge.messages import Delivery, InboundMessage
from bridge.messages.grouped import as_one
from bridge.messages.keys import message_key
from bridge.messages.turn_policy import INTERRUPT, LATEST
from bridge.processing import turns
from bridge.processing.gathered import Ended, Running, Waiting
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import Drained, Failure, Interrupted, M, Superseded
from bridge.runtime.work import Work
from bridge.telemetry import metrics, trace

if TYPE_CHECKING:
    from bridge.processing.overflow import Overflows
    from bridge.processing.processor import Processor
    from bridge.processing.windows import Item

log = logging.getLogger(__name__)

Key = tuple[tuple[str, Hashable], str]
Behind = list[tuple[Delivery, InboundMessage]]
"""What follows the oldest message of a lane, in order, as far as it is here."""


class Gathering(Generic[M]):
    """The turns of one generation that have, or may have, several messages."""

    def __init__(
        self,
        processor: Processor[M],
        open_lanes: Lanes[Item[M]],
        overflows: Overflows[M],
    ) -> None:
        self._processor = processor
        self._lanes = open_lanes
        self._overflows = overflows
        open_lanes.has_ended = self.has_ended
        self.waiting: dict[Hashable, Waiting] = {}
        """Lanes that wait until their conversation is quiet, the one that began first in front."""
        self._arrived: dict[int, float] = {}
        """When each message with a policy arrived (the event loop's clock)."""
        self._formed: dict[Hashable, list[InboundMessage]] = {}
        """Lane → the messages of its turn, from its first attempt on."""
        self._running: dict[Hashable, Running] = {}
        self.ends: dict[Key, Ended] = {}
        """Messages whose turn has ended; they are settled when they come up in their lane."""

    def arrived(self, delivery: Delivery, message: M) -> None:
        """Note that a message was put on its lane."""
        lane = message.lane()
        if message.turns is not None:
            self._arrived[id(delivery)] = asyncio.get_running_loop().time()
            if lane in self._running:
                self._interrupt(lane, message)
        if lane in self.waiting:
            self.waiting[lane].wake()

    def forget(self, delivery: Delivery) -> None:
        """Note that a message is not in flight any more."""
        self._arrived.pop(id(delivery), None)

    def wake_all(self) -> None:
        """Have all lanes look whether they may still wait."""
        for waiting in self.waiting.values():
            waiting.wake()

    def hurry(self, queue: str, number: int) -> None:
        """Start turns of a queue that wait, the oldest first, until they have `number` messages."""
        for key, waiting in self.waiting.items():
            if number <= 0:
                return
            lane = self._lanes.get(key)
            if waiting.queue == queue and not waiting.is_hurried and lane is not None:
                number -= 1 + len(lane)
                waiting.is_hurried = True
                waiting.wake()

    async def quiet(self, delivery: Delivery, message: M) -> float:
        """Wait until the conversation of the oldest message of a lane is quiet.

        Return the seconds that this took.

        Raises:
            Drained: draining began.
        """
        lane = self._lanes.get(message.lane())
        if lane is None or message.turns is None or not message.turns.quiet:
            return 0.0
        if lane.key in self._overflows.spilled and not delivery.overflowed:
            return 0.0  # what follows waits in the overflow queue
        clock = asyncio.get_running_loop().time
        began = clock()
        waiting = self.waiting[lane.key] = Waiting(delivery.queue)
        try:
            while not waiting.is_hurried:
                seconds = self._due(lane, delivery, message) - clock()
                if seconds <= 0:
                    break
                await self._sleep(waiting, seconds)
                if self._lanes.draining.is_set():
                    raise Drained
        finally:
            del self.waiting[lane.key]
        waited = clock() - began
        metrics.quiet.labels(message.channel).observe(waited)
        return waited

    def form(self, delivery: Delivery, message: M, work: Work) -> M:
        """Return what an attempt at the oldest message of a lane handles; it has a slot now.

        A turn that failed is tried again with the same messages, so its replies have the same ids.

        Raises:
            Superseded: a newer message runs instead.
        """
        policy = message.turns
        if policy is None:
            return message
        head = cast(InboundMessage, message)
        behind = self._behind(delivery, head)
        if self._is_superseded(head, behind):
            raise Superseded
        if not policy.joins:
            return message
        formed = self._formed.get(head.lane())
        if formed is None or formed[0] is not head or policy.kind == INTERRUPT:
            formed = self._group(delivery, head, behind).messages
            self._formed[head.lane()] = formed
        if len(formed) > 1:
            # Another key than that of any message: what this attempt does must convict none.
            work.members = tuple(map(message_key, formed))
            work.name = f"{message_key(formed[-1])}\0turn"
        return cast(M, as_one(formed))

    @contextmanager
    def interruptible(self, delivery: Delivery, message: M, work: Work) -> Iterator[None]:
        """Let new messages interrupt the turn inside the block, if its policy says so.

        Raises:
            Interrupted: one did.
        """
        task = asyncio.current_task()
        if message.turns is None or message.turns.kind != INTERRUPT or task is None:
            yield
            return
        lane = message.lane()
        head, ids = self._formed[lane][0], {formed.id for formed in self._formed[lane]}
        running = self._running[lane] = Running(delivery, head, work, ids, task)
        try:
            yield
        except (Exception, asyncio.CancelledError):
            if not running.is_interrupted or self._lanes.draining.is_set():
                raise
            raise Interrupted from None
        finally:
            del self._running[lane]
            if running.is_interrupted and hasattr(task, "uncancel"):
                task.uncancel()  # also if the turn swallowed it, and ended by itself

    def end(self, message: M, failure: Failure | None) -> tuple[Failure | None, str]:
        """Note how the turn of a message ended; return the failure of the message itself, and the
        id of the turn if it had several."""
        formed = self._formed.pop(message.lane(), None)
        if formed is None:
            return failure, ""
        metrics.turn_messages.labels(message.channel).observe(len(formed))
        if len(formed) == 1:
            return failure, ""
        trace.note("joined", message, what=formed[-1].id)
        for member in formed[1:]:
            key = self._key(member)
            own = self.ends[key] = Ended(formed[-1].id, failure and failure.of(member.id))
            if own.failure is None:
                self._processor.completed.add(key)
        return failure and failure.of(message.id), formed[-1].id

    def give_up(self, message: M) -> None:
        """Forget the turn of a message that does not end here."""
        self._formed.pop(message.lane(), None)

    def has_ended(self, item: Item[M]) -> bool:
        """Whether the turn of a message, that of an earlier one, has ended: it is settled next."""
        return not isinstance(item[1], MessageError) and self._key(item[1]) in self.ends

    def ended(self, message: M) -> Ended | None:
        """Return how the turn of a message ended that ran with an earlier one of its lane, once."""
        ended = self.ends.pop(self._key(message), None)
        if ended is not None and ended.group != message.id:
            trace.note("joined", message, what=ended.group)
        return ended

    def left(self, lane: Hashable) -> None:
        """Note that another process goes on with a lane: it settles what a turn had here, too."""
        self.ends = {key: ended for key, ended in self.ends.items() if key[0][1] != lane}

    def _is_new(self, message: InboundMessage) -> bool:
        return self._key(message) not in self._processor.completed

    def _key(self, message: InboundMessage | M) -> Key:
        return (message.channel, message.lane()), message.identity

    def wants_more(self, delivery: Delivery, message: M) -> bool:
        """Whether one more message may join the turn of the oldest one, or supersede it."""
        head, policy = cast(InboundMessage, message), message.turns
        behind = self._behind(delivery, head)
        if policy is None or self._key(head) in self.ends or not self._is_new(head):
            return False
        if policy.kind == LATEST:
            return not self._is_superseded(head, behind) and all(m.turns for _, m in behind)
        return not self._group(delivery, head, behind).is_closed

    def _is_superseded(self, head: InboundMessage, behind: Behind) -> bool:
        new = (message for _, message in behind if self._is_new(message))
        return turns.successor(head, new) is not None

    def _behind(self, delivery: Delivery, head: InboundMessage) -> Behind:
        lane = self._lanes.get(head.lane())
        if delivery.overflowed:
            items = self._overflows.ahead.behind(delivery, head.lane())
        elif lane is None or lane.key in self._overflows.spilled:
            return []
        else:
            items = list(lane.items)
        return [
            (delivery, cast(InboundMessage, message))
            for delivery, message in items
            if not isinstance(message, MessageError)
        ]

    def _group(self, delivery: Delivery, head: InboundMessage, behind: Behind) -> turns.Group:
        suspects = self._processor.quarantine.suspects

        def joins(delivery: Delivery, message: InboundMessage) -> bool | None:
            if suspects(delivery, message_key(message)):
                return False  # each suspect runs alone, so that it convicts no other one
            if not self._is_new(message):
                return None
            return self._key(message) not in self.ends  # else it is about to be dead-lettered

        return turns.group([(delivery, head), *behind], joins)

    def _due(self, lane: Lane[Item[M]], delivery: Delivery, message: M) -> float:
        """Return when the turn of a lane starts; in the past if it need not wait."""
        head = cast(InboundMessage, message)
        policy, behind = head.turns, self._behind(delivery, head)
        assert policy is not None
        if policy.joins and self._group(delivery, head, behind).is_closed:
            return -math.inf
        others = len(lane) - (len(lane.items) if delivery.overflowed else len(behind))
        if others or any(other.turns is None for _, other in behind):
            return -math.inf
        now = asyncio.get_running_loop().time()
        last_at = self._arrived.get(id(behind[-1][0] if behind else delivery), now)
        if delivery.overflowed:
            if self._overflows.ahead.is_full(lane.key):
                return -math.inf
            last_at = self._overflows.ahead.latest(lane.key)
        return turns.due(policy, self._arrived.get(id(delivery), now), last_at)

    async def _sleep(self, waiting: Waiting, seconds: float) -> None:
        """Wait so long, or until the lane is woken."""
        loop = asyncio.get_running_loop()
        waiting.woken = loop.create_future()
        timer = loop.call_later(seconds, waiting.wake)
        try:
            await waiting.woken
        finally:
            timer.cancel()

    def _interrupt(self, lane: Hashable, message: M) -> None:
        """Cancel the turn of a lane, so that it starts again with a message that has arrived."""
        running = self._running[lane]
        if running.is_interrupted or running.work.sealed or message.id in running.ids:
            return
        behind = self._behind(running.delivery, running.head)
        if message in self._group(running.delivery, running.head, behind).messages:
            running.is_interrupted = True
            running.task.cancel()
            metrics.interrupted.labels(message.channel).inc()
            log.info("turn interrupted: a new message joins it")
