"""A stalled lane must not fill the window of its partition: its messages wait on another queue.

RabbitMQ delivers a limited number of unacked messages, the window. Once one conversation holds all
of them, because it fails or is slow, the other conversations of the partition would stand still.

| step | why |
| --- | --- |
| A lane is moved (`windows`): its messages are published to its overflow queue, then acked. So are all that arrive later. | A copy is confirmed before its original is acked. |
| Its oldest message stays unacked: the *anchor*. | While a process holds a message of a partition, no other process is active there. |
| Once the anchor is settled, that is noted on the broker. | After a crash it is redelivered, before all others, and must not run again. |
| The lane goes on with its overflow queue, one message at a time. | A crash returns that message to the front. |
| When the overflow queue is empty, it is deleted. Then the anchor is acked. | No lane has an overflow queue without an anchor. |

A process that is to run a redelivered message looks for the overflow queue of its lane. If there is
one, this message is the anchor.

A takeover of the partition would wait for the anchor. So when RabbitMQ delivers nothing although
messages wait, the anchor is requeued, between two messages, and the next process goes on.
"""  # noqa: E501

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Generic

from bridge.broker.overflow import Window
from bridge.broker.topology import DELIVERY_LIMIT
from bridge.messages import Delivery
from bridge.processing import lanes
from bridge.processing.attempts import Attempts, M
from bridge.processing.lanes import Lanes
from bridge.processing.spilling import Spilled, Spilling, identity
from bridge.processing.takeover import Takeover
from bridge.processing.windows import Item, Windows
from bridge.telemetry import metrics

if TYPE_CHECKING:
    from bridge.processing.processor import Processor

log = logging.getLogger(__name__)

RETURN_WITHIN = 1.0
"""Seconds within which a requeued anchor is back in the same process, or is another's."""
REQUEUED_AT_MOST = DELIVERY_LIMIT - 20
"""Returns to its queue after which an anchor is not requeued any more."""


class Overflows(Generic[M]):
    """The overflowing lanes of one generation."""

    def __init__(
        self,
        processor: Processor[M],
        open_lanes: Lanes[Item[M]],
        attempts: Attempts[M],
        window: Window | None,
        settle: Callable[[Delivery, set[str]], Awaitable[None]],
        release: Callable[[Delivery], None],
    ) -> None:
        """Without a `window` no lane overflows.

        `settle(delivery, dead)` settles one message of an overflow queue. `dead` is what was
        dead-lettered from it. `release(delivery)` forgets a message that is acked or requeued.
        """
        self._spilling = Spilling(processor, open_lanes, attempts, window, self._moved)
        self._insist = self._spilling.insist
        prefetch = window.prefetch if window else 0
        self.windows = Windows(processor, open_lanes, prefetch, self._spilling.may_spill)
        self._processor = processor
        self._lanes = open_lanes
        self._attempts = attempts
        self._window = window
        self._settle = settle
        self._release = release
        self._arrived: dict[int, float] = {}
        """When each redelivered message arrived (monotonic clock)."""
        gauge = metrics.overflow_messages.labels(processor.kind.flow, processor.channel)
        gauge.set_function(self._spilling.waiting)

    def __contains__(self, lane: Hashable) -> bool:
        return lane in self._spilling.lanes

    def put(self, delivery: Delivery, message: M) -> None:
        """Put a message on its lane."""
        if delivery.redelivered:
            self._arrived[id(delivery)] = time.monotonic()
        lane = message.lane()
        spilled = self._spilling.lanes.get(lane)
        returned = spilled and spilled.returned
        if spilled and returned and identity(delivery, message) == spilled.anchor:
            returned.set_result(delivery)
            spilled.returned = None
            return
        self._lanes.put(lane, (delivery, message))
        if spilled:
            self._spilling.move(spilled)

    async def was_settled(self, delivery: Delivery, message: M) -> bool:
        """Look whether a redelivered message is the anchor of its lane; return whether it was
        settled.

        Raises:
            Drained: draining began before the broker answered.
        """
        arrived = self._arrived.pop(id(delivery), None)
        window, lane = self._window, self._lanes.get(message.lane())
        if window is None or arrived is None or lane is None or lane.key in self._spilling.lanes:
            return False
        anchor = identity(delivery, message)
        place = window.place(delivery.queue, lane.key, anchor)
        found = await self._insist(lambda: window.look(place, arrived), "a look")
        if found.waiting is not None or found.is_settled:
            self._spilling.spill(Spilled(lane, place, anchor, found.waiting or 0, found.is_settled))
        return found.is_settled

    async def work_off(self, anchor: Delivery, message: M) -> bool:
        """Settle what overflowed, then the anchor, whose own work is done.

        Return False if nothing overflowed: then the message is not settled yet.

        Raises:
            Drained: draining began; the anchor stays unsettled.
        """
        spilled, window = self._spilling.lanes.get(message.lane()), self._window
        if spilled is None or window is None or identity(anchor, message) != spilled.anchor:
            return False
        await asyncio.wait([spilled.opening])
        self._attempts.go_on()
        if message.lane() not in self._spilling.lanes:
            return False
        place = spilled.place
        if not spilled.is_settled:
            await self._insist(
                lambda: self._processor.queues.put_settled(place.settled), "a settled message"
            )
        held = await self._empty(spilled, anchor, window)
        if held is None:
            return True
        lanes.ended()
        del self._spilling.lanes[spilled.lane.key]
        await self._insist(
            lambda: window.close(place, lambda: self._is_last(place.partition)), "an overflow's end"
        )
        await held.ack()
        self._release(held)
        await self._insist(lambda: window.forget(place), "an overflow's end")
        log.info("overflow is empty")
        return True

    async def _empty(
        self, spilled: Spilled[M], anchor: Delivery, window: Window
    ) -> Delivery | None:
        """Settle the messages of an overflow queue. Return the anchor, None if it is requeued."""
        partition = spilled.place.partition
        takeover = Takeover(partition, self.windows[partition], window)
        lane = spilled.lane
        while True:
            self._attempts.go_on()
            may_leave = anchor.delivery_count < REQUEUED_AT_MOST and not lane.items
            if await self._insist(takeover.is_pending, "a look") and may_leave:
                returned = await self._hand_over(spilled, anchor, window)
                if returned is None:
                    return None
                anchor = returned
            delivery = await self._insist(lambda: window.get(spilled.place), "a message")
            if delivery is not None:
                spilled.waiting = max(0, spilled.waiting - 1)
                self._spilling.move(spilled)
                await self._settle(delivery, spilled.dead)
            elif lane.items or (spilled.moving and not spilled.moving.done()):
                spilled.waiting = 0
                self._spilling.move(spilled)
                if spilled.moving:
                    await asyncio.wait([spilled.moving])
            else:
                return anchor

    async def _hand_over(
        self, spilled: Spilled[M], anchor: Delivery, window: Window
    ) -> Delivery | None:
        """Requeue the anchor. Return it if it is delivered again: no other process waits."""
        lane, partition = spilled.lane, spilled.place.partition
        if spilled.moving:
            await asyncio.wait([spilled.moving])
        returned: asyncio.Future[Delivery] = asyncio.get_running_loop().create_future()
        spilled.returned = returned
        self._release(anchor)
        await anchor.requeue()
        await asyncio.wait([returned], timeout=RETURN_WITHIN)
        spilled.returned = None  # from now on, it opens the lane again
        if returned.done():
            self._spilling.move(spilled)
            return returned.result()
        log.info("overflow of %d messages is left to the next process", spilled.waiting)
        lanes.ended()
        del self._spilling.lanes[lane.key]
        while lane.items:
            delivery, _ = lane.items.popleft()
            self._release(delivery)
            await delivery.requeue()
        depth = await self._insist(lambda: window.depth(partition), "a look")
        if depth and not depth.consumers and not self.windows[partition].held:
            await self._insist(lambda: window.stand_by(partition), "a takeover")
        return None

    def _moved(self, delivery: Delivery) -> None:
        self._arrived.pop(id(delivery), None)
        self._release(delivery)

    def _is_last(self, partition: str) -> bool:
        """Return whether no lane of a partition can have an overflow queue."""
        others = any(
            spilled.place.partition == partition for spilled in self._spilling.lanes.values()
        )
        return not others and self.windows[partition].is_fresh
