"""Whether another process waits for a partition of this one."""

from __future__ import annotations

import time

from bridge.broker.overflow import Window
from bridge.processing.windows import Partition

LOOK_EVERY = 0.5
"""Seconds between two looks."""


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
