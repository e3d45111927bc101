"""The connection over which a process writes hops of messages (`broker.stream`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bridge.broker.connection import Connection
from bridge.broker.links import Link, is_news
from bridge.broker.url import Urls
from bridge.errors import BrokerUnavailable

log = logging.getLogger(__name__)

CONNECT_WITHIN = 2.0
"""Seconds for which a command waits for it: later, its first hops may be missing."""


class StreamLink(Link):
    """A connection for nothing else.

    RabbitMQ ends the whole connection of a publish to a stream that it does not find (506), as it
    is just being declared by another process, or was deleted. That must fail no message.
    """

    kind = "trace"
    _connection: Connection | None = None

    async def _session(self, connection: Connection) -> None:
        self._connection = connection
        self._is_ready("writing the trace")
        try:
            await connection.lost()
        finally:
            self._connection = None

    def _report(self, level: int, delay: float) -> None:
        # The other links tell whether RabbitMQ can be reached.
        if is_news(logging.INFO, f"the trace waits: {self.problem}"):
            log.info("the trace waits: %s; next try in %.1f s", self.problem, delay)

    def opened(self) -> Connection:
        """Return the connection, or raise BrokerUnavailable."""
        if self._connection is None or self._connection.health.blocked:
            raise BrokerUnavailable(f"no hops can be written: {self.problem}")
        return self._connection


@asynccontextmanager
async def stream_link(url: Urls, name: str) -> AsyncIterator[StreamLink]:
    """Keep such a connection up for the length of the block."""
    link = StreamLink(url, name)
    running = asyncio.ensure_future(link.run())
    try:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(link.ready.wait(), CONNECT_WITHIN)
        yield link
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
