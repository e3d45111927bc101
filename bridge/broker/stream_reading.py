"""Reads the stream that keeps the hops of messages (`broker.stream`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from bridge.broker.connection import Connection
from bridge.broker.fast_path.browsing import Browsed
from bridge.broker.fast_path.codec import sent_at, unix
from bridge.broker.library import answer, closed, translated, underlay
from bridge.broker.properties import OFFSET
from bridge.broker.stream import trace_stream
from bridge.broker.topology import Topology
from bridge.errors import BrokerError, BrokerUnavailable

PREFETCH = 1000
"""Batches that the broker may send ahead,"""
ACK_EVERY = 250
"""and after how many it may send more."""
PATIENCE = 5.0
"""Seconds to wait for the next batch that exists."""
TAIL = 0.3
"""Seconds to wait for batches that were written while the stream was read."""


Progress = Callable[[int, int], object]
"""Receives how many batches of a part were read, and how many it has."""
PROGRESS_EVERY = 1000
"""Batches after which it is called."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


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
    """Unix time in seconds at which the last one was written."""
    progress: Progress = silent
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, offset: int, body: bytes, written_at: Callable[[], float]) -> None:
        """Pass on a batch, if it belongs to this part."""
        if offset < self.before:
            if self.first is None:
                self.first = offset
            self.take(body)
            if offset % PROGRESS_EVERY == 0:
                self.progress(offset - self.first + 1, self.last - self.first + 1)
        self.latest = offset
        if offset >= self.last:
            self.written_at = written_at()
            self.done.set()


async def read_stream(
    connection: Connection,
    topology: Topology,
    take: Callable[[bytes], object],
    *,
    since: float | None = None,
    before: int | None = None,
    progress: Progress = silent,
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
    part.progress = progress
    await _consume(connection, name, part, TAIL if before is None else 0.0)
    if part.latest < part.last:
        raise BrokerUnavailable(f"stream {name}: the broker does not deliver")
    return part.first if part.first is not None else before


async def check_reading(connection: Connection, topology: Topology) -> None:
    """Check that the stream exists, and that this user may read it.

    Raises:
        NotDeclared: there is no stream.
        AccessRefused: the user may not read it.
        BrokerUnavailable: the connection was lost.
    """
    channel = await connection.unconfirmed_channel(_ignore)
    try:
        with translated():
            await channel.set_qos(prefetch_count=1)
            behind = await underlay(channel)
            start = {"x-stream-offset": "next"}
            consuming = behind.basic_consume(trace_stream(topology).name, _drop, arguments=start)
            await answer(consuming, PATIENCE, connection.lost_with)
    finally:
        await closed(channel.close())


async def _drop(_: object) -> None:
    """The stream keeps the batch."""


async def _consume(connection: Connection, name: str, part: Part, tail: float = 0.0) -> None:
    """Consume until the last batch of a part has arrived, and `tail` seconds more."""
    channel = await connection.unconfirmed_channel(_ignore)
    try:
        with translated():
            await channel.set_qos(prefetch_count=PREFETCH)
            behind = await underlay(channel)

            def browsed(message: Browsed) -> None:
                header = message.header
                part.arrived(message.offset, message.body, lambda: sent_at(header))
                if browsing is not None and message.tag % ACK_EVERY == 0:
                    browsing.ack(message.tag)

            async def receive(message: Any) -> None:
                properties = message.header.properties
                offset, at = (properties.headers or {}).get(OFFSET), properties.timestamp
                if not isinstance(offset, int):
                    offset = part.latest + 1
                part.arrived(offset, bytes(message.body), lambda: unix(at) if at else 0.0)
                tag = message.delivery.delivery_tag
                if tag % ACK_EVERY == 0:
                    await behind.basic_ack(tag, multiple=True, wait=False)

            browsing = connection.browsing(behind.number, browsed)
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
