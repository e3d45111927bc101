"""A stalled lane must not fill the window of its partition: its messages wait on another queue.

RabbitMQ delivers a limited number of unacked messages, the window. Once one conversation holds all
of them, because it fails or is slow, the other conversations of the partition would stand still.

| step | why |
| --- | --- |
| A lane is moved (`windows`): its messages are published to its overflow queue, then acked. So are all that arrive later. | A copy is confirmed before its original is acked. |
| Its oldest message stays unacked: the *anchor*. | While a process holds a message of a partition, no other process is active there. |
| Once the anchor is settled, that is noted on the broker. | After a crash it is redelivered, before all others, and must not run again. |
| The lane goes on with its overflow queue (`ahead`); an urgent message of the lane goes first. | A crash returns what was read to the front, in order. |
| When the overflow queue is empty, it is deleted. Then the anchor is acked. | No lane has an overflow queue without an anchor. |
| The partition's index is deleted with a later message (`indexes`). | Without it, nothing is looked for. |

A process that is to run a redelivered message looks for the overflow queue of its lane. If there is
one, this message is the anchor.

A takeover of the partition would wait for the anchor, and for any message that waits for its next
attempt. So when RabbitMQ delivers nothing although messages wait, those are requeued, and the next
process goes on.
"""  # noqa: E501

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Generic

from bridge.broker.overflow import Window
from bridge.errors import MessageError
from bridge.messages import PRIORITIES, Delivery
from bridge.processing import lanes
from bridge.processing.ahead import Ahead, InFlight
from bridge.processing.attempts import Attempts
from bridge.processing.indexes import Indexes
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import Left, M, Requeued
from bridge.processing.returns import Returns
from bridge.processing.spilling import Spilled, Spilling, identity
from bridge.processing.takeover import Takeovers
from bridge.processing.windows import Item, Windows
from bridge.telemetry import metrics

if TYPE_CHECKING:
    from bridge.processing.processor import Processor

log = logging.getLogger(__name__)

RANKS = {priority: rank for rank, priority in enumerate(PRIORITIES)}
RETURN_WITHIN = 0.5
"""Seconds within which a requeued message is back in the same process, or is another's."""


class Overflows(Generic[M]):
    """The overflowing lanes of one generation."""

    def __init__(
        self,
        processor: Processor[M],
        open_lanes: Lanes[Item[M]],
        attempts: Attempts[M],
        window: Window | None,
        in_flight: InFlight[M],
    ) -> None:
        """Without a `window` no lane overflows."""
        self.spilling = Spilling(processor, open_lanes, attempts, window, in_flight.ack)
        self._insist = self.spilling.insist
        self.ahead = Ahead(processor, open_lanes, attempts, self.spilling, window, in_flight)
        prefetch = window.prefetch if window else 0
        self.windows = Windows(processor, open_lanes, prefetch, self.spilling.may_spill)
        self._processor = processor
        self._lanes = open_lanes
        self._attempts = attempts
        attempts.stay = self.stay
        self._window = window
        self._in_flight = in_flight
        self.arrived: dict[int, tuple[float, str]] = {}
        """When each redelivered message arrived (monotonic clock), and from which queue."""
        self._returning: dict[Hashable, tuple[str, asyncio.Future[Delivery]]] = {}
        """Lane → what identifies a requeued message that may be delivered here again."""
        self.returns = Returns()
        self.leaving, self.returned = self.spilling.leaving, self.returns.by_lane
        """Messages of lanes that are on their way to another process, or may come back."""
        self.spilled = self.spilling.lanes
        """The lanes that overflow."""
        self.indexes = Indexes(window, self._is_last)
        self.takeovers = Takeovers(self.windows, self.returns, window, self._insist, open_lanes)
        gauge = metrics.overflow_messages.labels(processor.kind.flow, processor.channel)
        gauge.set_function(self.spilling.waiting)

    def defer(self, item: Item[M], lane: Hashable) -> bool:
        """Keep a message for later if its lane is being left; return whether it is kept."""
        deferred, (delivery, message) = self.spilling.leaving.get(lane), item
        if deferred is None or isinstance(message, MessageError):
            return False
        if lane in self._returning and self._returning[lane][0] == identity(delivery, message):
            return False
        deferred.append(item)
        return True

    def put(self, delivery: Delivery, message: M) -> None:
        """Put a message on its lane."""
        if delivery.redelivered:
            self.arrived[id(delivery)] = time.monotonic(), delivery.queue
        lane = message.lane()
        returning = self._returning.get(lane) if self._returning else None
        if returning is not None and returning[0] == identity(delivery, message):
            self._returning.pop(lane)[1].set_result(delivery)
            return
        if delivery.redelivered:
            self._processor.budgets.renew(lane)  # another process may have handled its messages
        self._lanes.put(lane, (delivery, message), RANKS[message.priority])
        if self.spilled and lane in self.spilled:
            self.spilled[lane].latest = asyncio.get_running_loop().time()
            self.spilling.move(self.spilled[lane])

    async def was_settled(self, delivery: Delivery, message: M) -> bool:
        """Look whether a redelivered message is the anchor of its lane; return whether it was
        settled.

        Raises:
            Drained: draining began before the broker answered.
        """
        arrived = self.arrived.get(id(delivery))
        window, lane = self._window, self._lanes.get(message.lane())
        if window is None or arrived is None or lane is None or lane.key in self.spilling.lanes:
            return False
        anchor = identity(delivery, message)
        place = window.place(delivery.queue, lane.key, anchor)
        found = await self._insist(lambda: window.look(place, arrived[0]), "a look")
        if found.waiting is not None or found.is_settled:
            self.spilling.spill(Spilled(lane, place, anchor, found.waiting or 0, found.is_settled))
        elif found.is_indexed:
            self.indexes.unused(delivery.queue)
        return found.is_settled

    async def work_off(self, anchor: Delivery, message: M) -> bool:
        """Settle what overflowed, then the anchor, whose own work is done.

        Return False if nothing overflowed: then the message is not settled yet.

        Raises:
            Drained: draining began; the anchor stays unsettled.
            Left: another process goes on.
        """
        spilled, window = self.spilling.lanes.get(message.lane()), self._window
        if spilled is None or window is None:
            return False
        await asyncio.wait([spilled.opening])
        self._attempts.go_on()
        if message.lane() not in self.spilling.lanes:
            return False
        place, spilled.held = spilled.place, anchor
        if not spilled.is_settled:
            await self._insist(
                lambda: self._processor.queues.put_settled(place.settled), "a settled message"
            )
        await self._empty(spilled)
        lanes.ended()
        del self.spilling.lanes[spilled.lane.key]
        await self.ahead.give_back(spilled)
        await self._insist(lambda: window.close(place), "an overflow's end")
        # While the anchor is kept as a lock, it may yet be redelivered, and must not run again.
        self.indexes.settled(place)
        await self._in_flight.ack(spilled.held, lambda: self.indexes.acked(place))
        log.info("overflow is empty")
        return True

    async def _empty(self, spilled: Spilled[M]) -> None:
        """Settle the messages of an overflow queue."""
        lane = spilled.lane
        while True:
            self._attempts.go_on()
            assert spilled.held is not None
            if await self.takeovers.waits(spilled.held):
                await self.ahead.give_back(spilled)
                spilled.held = await self._leave(lane, spilled.held, spilled.anchor)
            if lane.urgent and not lane.urgent[0][0].redelivered:  # else it may be an anchor, too
                with suppress(Requeued):
                    await self._in_flight.settle_overflowed(lane.urgent.popleft(), set())
                continue
            moved = spilled.moved
            if await self.ahead.settle_next(spilled):
                continue
            if lane.items or (spilled.moving and not spilled.moving.done()):
                self.spilling.move(spilled)
                if spilled.moving:
                    await asyncio.wait([spilled.moving])
            elif spilled.moved == moved:
                return
            # Else a message was moved there behind the mark that told so.

    async def stay(self, delivery: Delivery, message: M) -> Delivery:
        """Leave a message that waits for its next attempt, if another process waits for its
        partition; else return the delivery to go on with.

        Raises:
            Left: the other process goes on.
            Requeued: an urgent message comes back to its lane.
        """
        lane, spilled = self._lanes.get(message.lane()), self.spilling.lanes.get(message.lane())
        held = spilled.held if spilled else None
        is_urgent = held is not None and not delivery.overflowed
        looked_at = (delivery, held) if held and is_urgent else (delivery,)
        if lane is None or not any([await self.takeovers.waits(it) for it in looked_at]):
            return delivery
        if spilled is None or held is None:
            again = await self._leave(lane, delivery, identity(delivery, message))
            lane.head = again, message  # what `handover` would return
            return again
        if is_urgent:  # it returns with those that wait
            lane.of(RANKS[message.priority]).appendleft((delivery, message))
        await self.ahead.give_back(spilled, *([] if is_urgent else [delivery]))
        spilled.held = await self._leave(lane, held, spilled.anchor)
        if is_urgent:
            raise Requeued
        following = await self.ahead.next(spilled)
        if following is None:
            raise Left
        return following[0]

    async def _leave(self, lane: Lane[Item[M]], oldest: Delivery, anchor: str) -> Delivery:
        """Requeue the messages of a lane, the oldest one first, so that another process goes on.

        If the oldest one is delivered to this process again, no other one waits: return it.

        Raises:
            Left: the other process goes on.
        """
        spilled = self.spilling.lanes.get(lane.key)
        deferred = self.spilling.leaving[lane.key] = []
        try:
            if spilled and spilled.moving:
                await asyncio.wait([spilled.moving])
            left = [oldest, *(delivery for delivery, _ in (*lane.items, *lane.others()))]
            lane.items.clear()
            await self.requeue(left, deferred)
            returned: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
            self._returning[lane.key] = anchor, returned
            await self.takeovers.stand_by(left)
            await asyncio.wait([returned], timeout=RETURN_WITHIN)
            if not returned.done():
                self.spilling.lanes.pop(lane.key, None)
                waiting = spilled.waiting if spilled else 0
                log.info("lane left to another process: %d messages", len(left) + waiting)
                lanes.ended()
                self.ahead.gathering.left(lane.key)
                if self._processor.pace is not None:
                    self._processor.pace.left(lane.key)
                raise Left
        finally:
            self._returning.pop(lane.key, None)
            del self.spilling.leaving[lane.key]
            for item in deferred:
                self._in_flight.enter(item)
        if spilled:
            self.spilling.move(spilled)
        return returned.result()

    async def requeue(self, left: list[Delivery], deferred: list[Item[M]]) -> None:
        """Requeue the messages of lanes, and what of their queues arrived for them meanwhile: that
        would return before those that are delivered here again.

        Raises:
            Drained: draining began while one of them was needed as a lock.
        """
        queues: dict[str, list[Delivery]] = {}
        for delivery in left:
            queues.setdefault(delivery.queue, []).append(delivery)
        async with self.takeovers.together(left):
            # At the same time: one of them may be the lock of the others, and so returns last.
            await asyncio.gather(*map(self._requeue_in_order, queues.values()))
        early = [delivery for delivery, _ in deferred if delivery.queue in queues]
        if early:
            async with self.takeovers.together(early):
                for item in [item for item in deferred if item[0].queue in queues]:
                    deferred.remove(item)
                    self._in_flight.note_return(item[0])
                    await item[0].requeue()

    async def _requeue_in_order(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            await self._in_flight.requeue(delivery)

    def _is_last(self, delivery: Delivery) -> bool:
        """Return whether no other message of a delivery's queue can be an anchor."""
        queue, lanes = delivery.queue, self.spilling.lanes.values()
        may_be_anchors = any(
            queue == arrived for key, (_, arrived) in self.arrived.items() if key != id(delivery)
        )
        is_back = self.windows[queue].is_fresh and not self.returns.concern(queue)
        overflows = any(spilled.place.partition == queue for spilled in lanes)
        return not may_be_anchors and not overflows and is_back
