"""Whether another process waits for a partition of this one, and how it gets it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from bridge.broker.arguments import DELIVERY_LIMIT
from bridge.broker.overflow import Window
from bridge.errors import BrokerError
from bridge.messages import Delivery
from bridge.processing.lanes import Lanes
from bridge.processing.outcomes import Drained
from bridge.processing.returns import Returns
from bridge.processing.windows import Partition, Windows

LOOK_EVERY = 0.5
"""Seconds between two looks."""
REQUEUED_AT_MOST = DELIVERY_LIMIT - 20
"""Returns to its queue after which a message is not requeued any more."""
FIRST_PAUSE = 0.05
"""Seconds until the second look for an active consumer; the pause doubles."""
LAST_PAUSE = 10.0
"""Returns are carried out long before a pause is so long."""


class Takeover:
    """Tells whether another process waits for one partition.

    RabbitMQ does not say so. But it delivers nothing more to this process, although messages wait
    and the window is not full. Two looks in a row must find that.
    """

    def __init__(self, queue: str, partition: Partition, window: Window) -> None:
        self._partition = partition
        self._queue = queue
        self._window = window
        self._looked = time.monotonic()
        self._idle = (-1, 0)
        """How many messages had arrived when others waited, and how many looks found that."""

    async def is_pending(self) -> bool:
        """Look, if the latest look is long ago; return what the latest ones tell.

        Raises:
            BrokerError: the broker did not answer.
        """
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._looked = time.monotonic()
            depth = await self._window.depth(self._queue)
            is_full = self._partition.held >= self._window.prefetch
            waits = depth is not None and depth.ready > 0 and not is_full
            arrived, looks = self._idle
            if not waits or arrived != self._partition.arrived:
                looks = 0
            self._idle = (self._partition.arrived, looks + waits)
        arrived, looks = self._idle
        return looks > 1 and arrived == self._partition.arrived

    def asked(self) -> None:
        """Note that another process has asked for the partition: that is worth two looks."""
        self._looked = time.monotonic()
        self._idle = (self._partition.arrived, 2)


class Takeovers:
    """The takeovers of the partitions of one generation."""

    def __init__(
        self,
        windows: Windows[Any],
        returns: Returns,
        window: Window | None,
        insist: Callable[[Callable[[], Awaitable[Any]], str], Awaitable[Any]],
        lanes: Lanes[Any],
    ) -> None:
        """`insist(call, what)` repeats a call until the broker answers."""
        self._lanes = lanes
        self._windows = windows
        self._returns = returns
        self._window = window
        self._insist = insist
        self._takeovers: dict[str, Takeover] = {}
        self._standing_by: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._pauses: dict[str, float] = {}
        """Queue that is looked at again → seconds until the next look."""

    async def waits(self, delivery: Delivery) -> bool:
        """Whether another process waits for the partition of a delivery, which may be requeued."""
        queue, window = delivery.queue, self._window
        if window is None or delivery.delivery_count >= REQUEUED_AT_MOST:
            return False
        try:
            return await self._of(queue, window).is_pending()
        except BrokerError:
            return False

    def asked(self, queue: str) -> None:
        """Note that another process has asked for the partition of a queue."""
        if self._window is not None:
            self._of(queue, self._window).asked()

    def _of(self, queue: str, window: Window) -> Takeover:
        if queue not in self._takeovers:
            self._takeovers[queue] = Takeover(queue, self._windows[queue], window)
        return self._takeovers[queue]

    @asynccontextmanager
    async def together(self, deliveries: Collection[Delivery]) -> AsyncIterator[None]:
        """Have none of these deliveries come back before all are requeued, inside the block.

        If each came back before the next one is requeued, another process could take over in
        between, and would receive the first ones last. Meanwhile their queues deliver nothing, so
        what follows comes in order, and does not return behind them (`returns`).
        """
        window, queues = self._window, _queues(deliveries)
        if window is None:
            yield
            return
        for queue in queues:
            with suppress(BrokerError):  # then everything returns, in order
                await window.hold_back(queue)
        yield
        for queue in queues:
            self._returns.forget(queue)
            self._windows[queue].is_fresh = False

    async def stand_by(self, deliveries: Iterable[Delivery]) -> None:
        """Make sure that queues have an active consumer, once these deliveries were requeued.

        RabbitMQ 4.0 activates none after the last message of the old one was requeued. It answers a
        look before it has carried out what it was sent earlier (measured: up to 40 ms), and then
        still counts the old one. So a queue that has one is looked at again for a while.

        Raises:
            Drained: draining began before the broker answered.
        """
        if self._window is None:
            return
        for queue in _queues(deliveries):
            if await self._is_active(queue):
                if queue not in self._pauses:
                    self._lanes.start(self._watch(queue))
                self._pauses[queue] = FIRST_PAUSE

    async def _is_active(self, queue: str) -> bool:
        """Look whether a queue has an active consumer, and see to it if it has none.

        False if there is nothing more to look for: this process holds messages, or stands by now.
        """
        window = self._window
        assert window is not None
        async with self._standing_by[queue]:
            depth = await self._insist(partial(window.depth, queue), "a look")
            if not depth or self._windows[queue].held:
                return False
            if not depth.consumers:
                await self._insist(partial(window.activate, queue), "a takeover")
            return bool(depth.consumers)

    async def _watch(self, queue: str) -> None:
        """Look again until returned messages are certainly on their queue."""
        try:
            while (pause := self._pauses[queue]) <= LAST_PAUSE and not await self._drained(pause):
                self._pauses[queue] *= 2
                if not await self._is_active(queue):
                    return
        except (BrokerError, Drained):
            pass  # with the generation, everything returns
        finally:
            del self._pauses[queue]

    async def _drained(self, pause: float) -> bool:
        """Wait; return whether draining has begun."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._lanes.draining.wait(), pause)
        return self._lanes.draining.is_set()


def _queues(deliveries: Iterable[Delivery]) -> list[str]:
    return list(dict.fromkeys(delivery.queue for delivery in deliveries))
