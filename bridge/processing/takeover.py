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
from bridge.processing.returns import Returns
from bridge.processing.windows import Partition, Windows

LOOK_EVERY = 0.5
"""Seconds between two looks."""
LOOKS = 3
"""Looks for an active consumer after messages were requeued."""
REQUEUED_AT_MOST = DELIVERY_LIMIT - 20
"""Returns to its queue after which a message is not requeued any more."""


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


class Takeovers:
    """The takeovers of the partitions of one generation."""

    def __init__(
        self,
        windows: Windows[Any],
        returns: Returns,
        window: Window | None,
        insist: Callable[[Callable[[], Awaitable[Any]], str], Awaitable[Any]],
    ) -> None:
        """`insist(call, what)` repeats a call until the broker answers."""
        self._windows = windows
        self._returns = returns
        self._window = window
        self._insist = insist
        self._takeovers: dict[str, Takeover] = {}
        self._standing_by: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def waits(self, delivery: Delivery) -> bool:
        """Whether another process waits for the partition of a delivery, which may be requeued."""
        queue, window = delivery.queue, self._window
        if window is None or delivery.delivery_count >= REQUEUED_AT_MOST:
            return False
        if queue not in self._takeovers:
            self._takeovers[queue] = Takeover(queue, self._windows[queue], window)
        try:
            return await self._takeovers[queue].is_pending()
        except BrokerError:
            return False

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

        RabbitMQ 4.0 activates none after the last message of the old one was requeued. A look may
        overtake the requeue, which goes another way, and find the old one active: it is repeated.

        Raises:
            Drained: draining began before the broker answered.
        """
        window = self._window
        if window is None:
            return
        inactive = _queues(deliveries)
        for look in range(LOOKS):
            await asyncio.sleep(LOOK_EVERY if look else 0)
            for queue in list(inactive):
                async with self._standing_by[queue]:
                    depth = await self._insist(partial(window.depth, queue), "a look")
                    if depth and not depth.consumers and not self._windows[queue].held:
                        await self._insist(partial(window.stand_by, queue), "a takeover")
                        inactive.remove(queue)


def _queues(deliveries: Iterable[Delivery]) -> list[str]:
    return list(dict.fromkeys(delivery.queue for delivery in deliveries))
