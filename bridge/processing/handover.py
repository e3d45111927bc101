"""Messages that did not run yet return to their queues, and another process runs them. No AMQP.

A process that waits for a partition asks for it (`partitions.Partitions`). What did not start of
it then returns at once, and only the turns that run are waited for. What waits for its next attempt
and what overflowed is left by its own lane (`overflow.Overflows.stay`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from contextlib import suppress
from typing import Generic

from bridge.errors import BrokerError, MessageError
from bridge.messages import Delivery
from bridge.processing.admission import Slots
from bridge.processing.ahead import InFlight
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.outcomes import Drained, Left, M
from bridge.processing.overflow import Overflows
from bridge.processing.partitions import Partitions
from bridge.processing.takeover import REQUEUED_AT_MOST
from bridge.processing.windows import Item

log = logging.getLogger(__name__)


class Handover(Generic[M]):
    """Returns messages of one generation to their queues."""

    def __init__(self, slots: Slots, lanes: Lanes[Item[M]], in_flight: InFlight[M]) -> None:
        self._slots = slots
        self._lanes = lanes
        self._in_flight = in_flight
        self.in_order = asyncio.Lock()
        """Messages return to their queues in the order in which that was noted."""

    def connect(self, partitions: Partitions[Item[M]], overflows: Overflows[M]) -> None:
        """Set what was made after this object."""
        self._partitions = partitions
        self._overflows = overflows

    def leave(self, items: list[Item[M]]) -> None:
        """Return messages that were not put on a lane, in order."""
        for delivery, _ in items:
            self._in_flight.note_return(delivery)
        self._lanes.start(self._leave(items))

    async def _leave(self, items: list[Item[M]]) -> None:
        takeovers = self._overflows.takeovers
        left = [delivery for delivery, _ in items]
        waiting = [delivery for delivery in left if not self._partitions.may_run(delivery)]
        async with self.in_order, takeovers.together(waiting):
            for delivery in left:
                await delivery.requeue()
            while behind := self._overflows.spilling.deferred_behind(items):
                self._in_flight.note_return(behind)
                await behind.requeue()
        with suppress(Drained, BrokerError):
            await takeovers.stand_by(left)

    def hand_over(self, queue: str) -> None:
        """Return what did not start yet of the partition with this normal queue."""
        if self._lanes.draining.is_set():
            return
        for each in self._partitions.queues(queue):
            self._overflows.takeovers.asked(each)
        left: dict[Hashable, list[Delivery]] = {}
        for lane in self._lanes.open():
            if taken := self._taken(lane, queue):
                left[lane.key] = taken
        if left:
            self._start_return(left)

    def _taken(self, lane: Lane[Item[M]], queue: str) -> list[Delivery]:
        """Remove from a lane of the partition what may return now, and return it."""
        items = lane.waiting()
        first = lane.head or next(iter(items), None)
        if first is None or self._partitions.owner(first[0]) != queue:
            return []
        if self._overflows.spilling.keeps(lane.key):
            return []
        if lane.head is not None:
            items.insert(0, lane.head)
            if all(map(self._may_return, items)) and self._slots.line.recall(lane.key, Left()):
                lane.clear()
                return [delivery for delivery, _ in items]
        # If its head returned after the others, it would be the last one, also after a crash.
        lane.leaves = self._leave_rest
        return []

    def _leave_rest(self, lane: Lane[Item[M]]) -> bool:
        """Return what waits in a lane behind a message that is settled."""
        items = lane.waiting()
        if self._overflows.spilling.keeps(lane.key) or not all(map(self._may_return, items)):
            return False
        lane.clear()
        self._start_return({lane.key: [delivery for delivery, _ in items]})
        return True

    def _may_return(self, item: Item[M]) -> bool:
        delivery, message = item
        return (
            not isinstance(message, MessageError)
            and not self._lanes.has_ended(item)
            and delivery.delivery_count < REQUEUED_AT_MOST
        )

    def _start_return(self, left: dict[Hashable, list[Delivery]]) -> None:
        """Return messages of lanes; what arrives for the lanes meanwhile returns behind them."""
        deferred: list[Item[M]] = []
        self._overflows.spilling.leaving.update(dict.fromkeys(left, deferred))
        self._lanes.start(self._return(left, deferred))

    async def _return(self, left: dict[Hashable, list[Delivery]], deferred: list[Item[M]]) -> None:
        deliveries = [delivery for each in left.values() for delivery in each]
        log.info("another process asked for their partition: %d returned", len(deliveries))
        try:
            with suppress(Drained, BrokerError):
                await self._overflows.requeue(deliveries, deferred)
                await self._overflows.takeovers.stand_by(deliveries)
        finally:
            for lane in left:
                del self._overflows.spilling.leaving[lane]
            for item in deferred:
                self._in_flight.enter(item)
