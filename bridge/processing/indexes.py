"""Deletes the index of a partition, the queue that tells that lanes of it may overflow. No AMQP.

The index must outlast every anchor: a process that finds none takes no redelivered message for one.
And it must be deleted by a process that holds a message of the partition, because another one may
declare it again. So it is deleted while a *later* message is held, directly before its ack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bridge.broker.overflow import Place, Window
from bridge.errors import BrokerError
from bridge.messages import Delivery


class Indexes:
    """The indexes that this generation may delete."""

    def __init__(self, window: Window | None, is_last: Callable[[Delivery], bool]) -> None:
        """`is_last(delivery)`: beside this message, nothing of its partition may need the index."""
        self._window = window
        self._is_last = is_last
        self.unneeded: set[str] = set()
        """Partitions whose index may be deleted."""
        self._anchors: Counter[str] = Counter()
        """Partition → settled anchors that are not acked yet, and so may be redelivered."""

    def unused(self, partition: str) -> None:
        """Note that a lane of a partition needs its index no more."""
        self.unneeded.add(partition)

    def settled(self, place: Place) -> None:
        """Note that a lane needs its overflow queue no more. Its anchor is to be acked."""
        self._anchors[place.partition] += 1

    async def acked(self, place: Place) -> None:
        """Forget the anchor of a lane, which was acked: nothing of the lane needs the index."""
        try:
            if self._window is not None:
                await self._window.forget(place)
        finally:
            self._anchors[place.partition] -= 1
            self.unused(place.partition)

    async def close(self, delivery: Delivery) -> None:
        """Delete the index of a message's partition, if there is one that nothing needs."""
        if delivery.queue not in self.unneeded or self._window is None:
            return
        if delivery.overflowed or not self._may_close(delivery):
            return
        self.unneeded.discard(delivery.queue)
        try:
            await self._window.close_index(delivery.queue, lambda: self._may_close(delivery))
        except BrokerError:
            self.unneeded.add(delivery.queue)  # it costs a question for each redelivered message

    def _may_close(self, delivery: Delivery) -> bool:
        return not self._anchors[delivery.queue] and self._is_last(delivery)
