"""Declares the topology again when a publish finds a part of it missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from bridge.broker.connection import Connection
from bridge.broker.declare import repair_topology
from bridge.broker.topology import Topology
from bridge.errors import BrokerError, BrokerUnavailable

log = logging.getLogger(__name__)

EVERY = 5.0
"""Seconds between two repairs."""


class Repair:
    """Repairs the topology over one connection; `run` it as a task."""

    def __init__(
        self, connection: Connection, topology: Topology, on_change: Callable[[], object]
    ) -> None:
        """`on_change` is called whenever `problem` may have changed."""
        self.problem = ""
        """Why the last repair failed, or ""."""
        self._connection = connection
        self._topology = topology
        self._on_change = on_change
        self._wanted = asyncio.Event()
        self._attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Completes with the next attempt."""

    async def done(self, reason: BrokerError, timeout: float, channel: str = "") -> None:
        """Have the topology repaired, because of `reason`; return once that has been done.

        `channel` is one whose reply queues are not in the topology.

        Raises:
            BrokerUnavailable: not repaired within `timeout` seconds. The repair goes on.
        """
        if channel and channel not in self._topology.channels:
            channels = (*self._topology.channels, channel)
            self._topology = replace(self._topology, channels=channels)
        self._wanted.set()
        attempt = self._attempt
        await asyncio.wait([attempt], timeout=timeout)
        if not attempt.done() or self.problem:
            raise BrokerUnavailable(self.problem or f"{reason.problem}; it is being repaired")

    async def run(self) -> None:
        """Repair when it is wanted, again and again until it succeeds."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await repair_topology(self._connection, self._topology)
            except BrokerError as error:
                self._wanted.set()
                if self.problem != str(error):
                    log.error("cannot repair the topology: %s", error)
                self.problem = str(error)
            else:
                self.problem = ""
                log.warning("repaired the topology: something was missing")
            self._attempt.set_result(None)
            self._attempt = asyncio.get_running_loop().create_future()
            self._on_change()
            await asyncio.sleep(EVERY)
