"""Reads the stream that keeps the hops of messages (`broker.stream`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from bridge.broker.connection import Connection
from bridge.broker.fast_path.browsing import Browsed
from bridge.broker.fast_path.reading import all_properties_of, unix
from bridge.broker.library import answer, closed, translated, underlay
from bridge.broker.properties import OFFSET
from bridge.broker.stream import FILTER, trace_stream
from bridge.broker.topology import Topology
from bridge.errors import BrokerError, BrokerUnavailable
from bridge.telemetry.trace.batch import FIRST, WHOLE

PREFETCH = 1000
"""Batches that the broker may send ahead,"""
ACK_EVERY = 250
"""and after how many it may send more."""
PATIENCE = 5.0
"""Seconds to wait for the next batch that exists."""
PASSED_OVER = 60.0
"""Seconds to wait for it if RabbitMQ passes over others: it takes 7 µs for each."""
TAIL = 0.3
"""Seconds to wait for batches that were written while the stream was read."""


Progress = Callable[[int, int], object]
"""Receives how many batches of a part were read, and how many it has."""
PROGRESS_EVERY = 1000
"""Batches after which it is called."""


class Place(NamedTuple):
    """Where a part of the stream begins."""

    offset: int
    mark: str | None
    """The header `FILTER` of the batch there, or, behind the last batch, of that one."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


def overlook(body: bytes, offset: int, about: Callable[[], About]) -> None:
    """Do nothing with a batch."""


class About(NamedTuple):
    """What the properties of a batch tell."""

    written_at: float
    """Unix time in seconds."""
    mark: str | None
    """The header `FILTER`."""


Look = Callable[[bytes, int, Callable[[], About]], object]
"""Receives a batch, its offset, and what tells more about it."""


@dataclass
class Part:
    """A part of the stream to read, and what was read of it."""

    take: Callable[[bytes], object]
    """Receives each batch,"""
    look: Look
    """and so does this."""
    start: str | datetime
    """As in RabbitMQ's `x-stream-offset`."""
    last: int = -1
    """Offset of the last batch to wait for."""
    before: float = float("inf")
    """Offset of the first batch to leave out."""
    marks: list[str] = field(default_factory=list)
    """If there are some: pass over batches that have another header `FILTER`."""
    first: Place | None = None
    """That of the first batch that was passed on."""
    latest: int = -1
    """Offset of the latest batch that arrived."""
    written_at: float = 0.0
    """Unix time in seconds at which the last one was written."""
    mark: str | None = None
    """Its header `FILTER`."""
    progress: Progress = silent
    told: int = 0
    """Offset at which the next progress is told."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def arrived(self, offset: int, body: bytes, about: Callable[[], About]) -> None:
        """Pass on a batch, if it belongs to this part."""
        if offset < self.before:
            if self.first is None:
                self.first = Place(offset, about().mark)
                self.told = offset
            self.look(body, offset, about)
            self.take(body)
            if offset >= self.told:
                first = self.first.offset
                self.progress(offset - first + 1, self.last - first + 1)
                self.told = offset + PROGRESS_EVERY
        self.latest = offset
        if offset >= self.last:
            self.written_at, self.mark = about()
            self.done.set()


async def read_stream(
    connection: Connection,
    topology: Topology,
    take: Callable[[bytes], object],
    *,
    since: float | None = None,
    before: Place | None = None,
    only_whole: bool = False,
    look: Look = overlook,
    progress: Progress = silent,
) -> Place | None:
    """Pass each batch that was written at or after `since` to `take`, in order.

    `since` is a Unix time in seconds (None: from the beginning). It is precise to a chunk of the
    stream, so some earlier batches may be passed, too. `before` is the first batch to leave out
    (None: read to the end). With `only_whole`, RabbitMQ passes over batches that were written
    again, together with others, except the first of them; `before` is needed then. Return the place
    of the first batch that was passed; without any, that behind the last one. None means that the
    stream is empty.

    Raises:
        NotDeclared: there is no stream.
        BrokerUnavailable: the connection was lost, or a batch that exists did not come.
    """
    name = trace_stream(topology).name
    if before is not None and before.offset == 0:
        return before
    end = Part(len, overlook, "last")
    await _consume(connection, name, end)
    if end.latest < 0:
        return None
    if since is not None and end.written_at < int(since) - 1:
        return Place(end.latest + 1, end.mark) if before is None else before
    start = "first" if since is None else datetime.fromtimestamp(since, timezone.utc)
    part = Part(take, look, start)
    part.last = end.latest if before is None else before.offset - 1
    part.before = float("inf") if before is None else before.offset
    if only_whole and before is not None and before.mark is not None:
        part.marks = [WHOLE, FIRST, before.mark]
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
                part.arrived(message.offset, message.body, lambda: _about(header))
                if browsing is not None and message.tag % ACK_EVERY == 0:
                    browsing.ack(message.tag)

            async def receive(message: Any) -> None:
                properties = message.header.properties
                offset, at = (properties.headers or {}).get(OFFSET), properties.timestamp
                if not isinstance(offset, int):
                    offset = part.latest + 1
                mark = _mark((properties.headers or {}).get(FILTER))
                about = About(unix(at) if at else 0.0, mark)
                part.arrived(offset, bytes(message.body), lambda: about)
                tag = message.delivery.delivery_tag
                if tag % ACK_EVERY == 0:
                    await behind.basic_ack(tag, multiple=True, wait=False)

            browsing = connection.browsing(behind.number, browsed)
            arguments: dict[str, Any] = {"x-stream-offset": part.start}
            if part.marks:
                # What earlier versions wrote has no mark, and no copy.
                arguments |= {"x-stream-filter": part.marks, "x-stream-match-unfiltered": True}
            consuming = behind.basic_consume(name, receive, arguments=arguments)
            await answer(consuming, PATIENCE, connection.lost_with)
            while not part.done.is_set():
                latest = part.latest
                await _wait(connection, part.done, PASSED_OVER if part.marks else PATIENCE)
                if part.latest == latest:
                    return
            await asyncio.sleep(tail)
    finally:
        await closed(channel.close())


def _about(header: bytes) -> About:
    properties = all_properties_of(header)
    at = properties.timestamp
    return About(unix(at) if at else 0.0, _mark((properties.headers or {}).get(FILTER)))


def _mark(value: object) -> str | None:
    return value if isinstance(value, str) else None


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
