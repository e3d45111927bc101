"""The stream that keeps the hops of messages (`telemetry.trace`): declared, written and read.

A stream is a log: reading it changes nothing, and RabbitMQ deletes its oldest part when it is older
than `MAX_AGE` or larger than `MAX_BYTES` (https://www.rabbitmq.com/docs/streams). The topology does
not list it: a process that may not declare it, or a broker without streams, must stop nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from bridge.broker.connection import Connection
from bridge.broker.library import answer, closed, translated, underlay
from bridge.broker.properties import OFFSET
from bridge.broker.topology import Queue, Topology
from bridge.broker.unconfirmed import Unconfirmed
from bridge.errors import BrokerError, BrokerUnavailable, NotDeclared, TopologyError

log = logging.getLogger(__name__)

KEY = "trace"
"""Routing key on `<ns>.reports`, and AMQP `type`, of a batch of hops."""
MAX_AGE = "24h"
MAX_BYTES = 1024**3
"""At about 150 bytes a hop, seven million hops."""
ARGUMENTS = {
    "x-queue-type": "stream",
    "x-max-age": MAX_AGE,
    "x-max-length-bytes": MAX_BYTES,
    # RabbitMQ deletes whole segments, and only when it begins the next one.
    "x-stream-max-segment-size-bytes": 32 * 1024**2,
}
DECLARE_EVERY = 30.0
"""Seconds after which the stream is declared again: it may have been deleted."""
SETTLE = 3.0
"""Seconds between the first declaration and the first write of a process: while another one
declares the stream at the same moment, RabbitMQ confirms the declaration and does not know it."""
PREFETCH = 500
"""Batches that the broker may send ahead,"""
ACK_EVERY = 100
"""and after how many it may send more."""
PATIENCE = 5.0
"""Seconds to wait for the next batch that exists."""
TAIL = 0.3
"""Seconds to wait for batches that were written while the stream was read."""


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

    async def write(self, body: bytes) -> None:
        """Write one batch to the socket.

        Raises:
            BrokerUnavailable: see `Unconfirmed.publish`; or the stream was declared just now.
        """
        if self._declares:
            await self._declare()
        await self._unconfirmed.publish(self._stream.exchange, KEY, body)

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


@dataclass
class Part:
    """A part of the stream to read, and what was read of it."""

    take: Callable[[bytes], object]
    """Receives each batch."""
    start: str | datetime
    """As in RabbitMQ's `x-stream-offset`."""
    last: int = -1
    """Offset of the last batch to wait for."""
    before: float = float("inf")
    """Offset of the first batch to leave out."""
    first: int | None = None
    """Offset of the first batch that was passed on."""
    latest: int = -1
    """Offset of the latest batch that arrived."""
    written_at: float = 0.0
    """Unix time in seconds at which that one was written."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, message: Any) -> None:
        """Pass on a batch, if it belongs to this part."""
        properties = message.header.properties
        offset = (properties.headers or {}).get(OFFSET)
        if not isinstance(offset, int):
            offset = self.latest + 1
        if offset < self.before:
            if self.first is None:
                self.first = offset
            self.take(bytes(message.body))
        if properties.timestamp is not None:
            self.written_at = _unix(properties.timestamp)
        self.latest = offset
        if offset >= self.last:
            self.done.set()


async def read_stream(
    connection: Connection,
    topology: Topology,
    take: Callable[[bytes], object],
    *,
    since: float | None = None,
    before: int | None = None,
) -> int | None:
    """Pass each batch that was written at or after `since` to `take`, in order.

    `since` is a Unix time in seconds (None: from the beginning). It is precise to a chunk of the
    stream, so some earlier batches may be passed, too. `before` is the offset of the first batch to
    leave out (None: read to the end). Return the offset of the first batch that was passed; without
    any, the offset behind the last one. None means that the stream is empty.

    Raises:
        NotDeclared: there is no stream.
        BrokerUnavailable: the connection was lost, or a batch that exists did not come.
    """
    name = trace_stream(topology).name
    if before == 0:
        return 0
    end = Part(len, "last")
    await _consume(connection, name, end)
    if end.latest < 0:
        return None
    if since is not None and end.written_at < int(since) - 1:
        return end.latest + 1 if before is None else before
    part = Part(take, "first" if since is None else datetime.fromtimestamp(since, timezone.utc))
    part.last = end.latest if before is None else before - 1
    part.before = float("inf") if before is None else before
    await _consume(connection, name, part, TAIL if before is None else 0.0)
    if part.latest < part.last:
        raise BrokerUnavailable(f"stream {name}: the broker does not deliver")
    return part.first if part.first is not None else before


async def _consume(connection: Connection, name: str, part: Part, tail: float = 0.0) -> None:
    """Consume until the last batch of a part has arrived, and `tail` seconds more."""
    channel = await connection.unconfirmed_channel(_ignore)
    try:
        with translated():
            await channel.set_qos(prefetch_count=PREFETCH)
            behind = await underlay(channel)

            async def receive(message: Any) -> None:
                part.arrived(message)
                if part.latest % ACK_EVERY == 0:
                    tag = message.delivery.delivery_tag
                    await behind.basic_ack(tag, multiple=True, wait=False)

            consuming = behind.basic_consume(
                name, receive, arguments={"x-stream-offset": part.start}
            )
            await answer(consuming, PATIENCE, connection.lost_with)
            while not part.done.is_set():
                latest = part.latest
                await _wait(connection, part.done, PATIENCE)
                if part.latest == latest:
                    return
            await asyncio.sleep(tail)
    finally:
        await closed(channel.close())


def _ignore(_: BrokerError) -> None:
    """A call, or the lack of an answer, tells that the channel has closed."""


async def _wait(connection: Connection, event: asyncio.Event, timeout: float) -> None:
    waiting = asyncio.ensure_future(event.wait())
    ends: set[asyncio.Future[Any]] = {waiting, connection.lost_with}
    try:
        await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if connection.lost_with.done():
        raise BrokerUnavailable(f"connection lost: {connection.lost_with.result()}")


def _unix(time: datetime) -> float:
    """Return an AMQP timestamp as Unix seconds; without a zone it is UTC (pamqp 3)."""
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
