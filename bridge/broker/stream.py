"""The stream that keeps the hops of messages (`telemetry.trace`): declared and written.

A stream is a log: reading it changes nothing, and RabbitMQ deletes its oldest part when it is older
than `MAX_AGE` or larger than `MAX_BYTES` (https://www.rabbitmq.com/docs/streams). The topology does
not list it: a process that may not declare it, or a broker without streams, must stop nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bridge.broker.connection import Connection
from bridge.broker.topology import Queue, Topology
from bridge.broker.unconfirmed import Unconfirmed
from bridge.errors import BrokerUnavailable, NotDeclared, TopologyError
from bridge.telemetry.trace.batch import LATER, Mark

log = logging.getLogger(__name__)

KEY = "trace"
"""Routing key on `<ns>.reports`, and AMQP `type`, of a batch of hops."""
MAX_AGE = "24h"
MAX_BYTES = 1024**3
"""Two million messages that have one reply each, at about 500 bytes. Small batches take twice that,
because they are written again."""
ARGUMENTS = {
    "x-queue-type": "stream",
    "x-max-age": MAX_AGE,
    "x-max-length-bytes": MAX_BYTES,
    # RabbitMQ deletes whole segments, and only when it begins the next one.
    "x-stream-max-segment-size-bytes": 32 * 1024**2,
}
FILTER = "x-stream-filter-value"
"""Header by which RabbitMQ passes over parts of a stream that a reader does not want
(https://www.rabbitmq.com/docs/streams#filtering): the `Mark` of a batch, or of a later small one
the minute in which it was written, so that a reader can name the batch at which it has read enough.
"""
DECLARE_EVERY = 30.0
"""Seconds after which the stream is declared again: it may have been deleted."""
SETTLE = 3.0
"""Seconds between the first declaration and the first write of a process: while another one
declares the stream at the same moment, RabbitMQ confirms the declaration and does not know it."""


def trace_stream(topology: Topology) -> Queue:
    """Return the stream and how it is bound."""
    name = f"{topology.namespace}.trace"
    return Queue(name, topology.reports_exchange, KEY, ARGUMENTS)


class StreamWriter:
    """Writes batches without confirms, on the connection of a `StreamLink`."""

    def __init__(
        self,
        connection: Callable[[], Connection],
        name: str,
        topology: Topology,
        *,
        declares: bool = True,
    ) -> None:
        """`connection` returns the connection to use, or raises BrokerUnavailable.

        Without `declares`, batches are dropped unless another process has declared the stream.
        """
        self._connection = connection
        self._stream = trace_stream(topology)
        self._unconfirmed = Unconfirmed(connection, name, _repaired_by_reports)
        self._declares = declares
        self._declared_on: Connection | None = None
        self._declared_at = 0.0
        self._writes_from = 0.0

    async def write(self, body: bytes, mark: Mark) -> None:
        """Write one batch to the socket.

        Raises:
            BrokerUnavailable: see `Unconfirmed.publish`; or the stream was declared just now.
        """
        if self._declares:
            await self._declare()
        headers = {FILTER: f"{time.time() // 60:.0f}" if mark == LATER else mark}
        await self._unconfirmed.publish(self._stream.exchange, KEY, body, headers)

    async def _declare(self) -> None:
        connection, now = self._connection(), time.monotonic()
        if connection is not self._declared_on or now >= self._declared_at + DECLARE_EVERY:
            self._declared_on, self._declared_at = connection, now
            await self._declare_on(connection)
            self._writes_from = self._writes_from or now + SETTLE
        if now < self._writes_from:
            raise BrokerUnavailable("the stream was declared just now")

    async def _declare_on(self, connection: Connection) -> None:
        try:
            await connection.declare((), [self._stream], passive=False)
        except TopologyError as error:
            # Then `rasa-bridge topology declare` declares it.
            self._declares = False
            if self._stream.name not in await connection.depths([self._stream.name]):
                log.warning("traces are not kept: stream %s: %s", self._stream.name, error)


async def _repaired_by_reports(_: NotDeclared) -> None:
    """The exchange is that of the reports, whose publisher has it declared again."""
