"""Whether another process waits for a partition of this one."""

from __future__ import annotations

import time

from bridge.broker.overflow import Window
from bridge.processing.windows import Partition

LOOK_EVERY = 1.0
"""Seconds between two looks."""


class Takeover:
    """Tells whether another process waits for a partition.

    RabbitMQ does not say so. But it delivers nothing more to this process, although messages wait
    and the window is not full.
    """

    def __init__(self, queue: str, partition: Partition, window: Window) -> None:
        self._partition = partition
        self._prefetch = window.prefetch
        self._queue = queue
        self._window = window
        self._looked = time.monotonic()
        self._arrived = -1
        """Messages that had arrived when others waited at the latest look."""

    async def is_pending(self) -> bool:
        """Look, at most every `LOOK_EVERY` seconds; two looks in a row must agree."""
        if time.monotonic() - self._looked < LOOK_EVERY:
            return False
        depth = await self._window.depth(self._queue)
        self._looked = time.monotonic()
        waits = depth is not None and depth.ready > 0 and self._partition.held < self._prefetch
        was, self._arrived = self._arrived, self._partition.arrived if waits else -1
        return waits and was == self._partition.arrived
