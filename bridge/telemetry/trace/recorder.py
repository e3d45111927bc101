"""Keeps hops in memory until they are written. It never delays or fails a message.

The buffer is bounded: hops beyond it are dropped and counted. Hops that cannot be written, such as
during an alarm of the broker, wait for the next try. They are encoded when they are written: one by
one between messages, that would take three times as long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from bridge.errors import BrokerError
from bridge.telemetry import metrics
from bridge.telemetry.trace.batch import (
    FIRST,
    LATER,
    SMALL,
    WHOLE,
    Entries,
    Mark,
    encode,
    together,
)
from bridge.telemetry.trace.hop import Hop
from bridge.telemetry.trace.records import Enqueued
from bridge.telemetry.trace.rows import Row

EVERY = 1.0
"""Seconds between two writes: a hop is readable within two."""
MOST = 20_000
"""Hops and records that may wait. More are dropped."""
BATCH = 2000
"""Hops and records of one batch at most, about 400 KB, encoded within 2 ms. RabbitMQ spends 0.7 ms
of CPU time on a batch, however small it is."""
TOGETHER = 128 * 1024
"""Small batches are written again, together with others, once they have so many bytes,"""
LATEST = 300.0
"""or after so many seconds. RabbitMQ and a search take as long for a batch of one hop as for one of
a hundred, and a day has half a million small ones if six processes have little to do."""
OPEN = 5000
"""Messages, and replies, of which a process records the next hops together."""
FAREWELL = 0.5
"""Seconds that the last write of a process may take."""


class Recorder:
    """The hops of this process that are not written yet. Off until a `Sender` runs."""

    def __init__(self, most: int = MOST) -> None:
        self.is_on = False
        self.waiting = Entries()
        """What waits for the next write, beside the records that may still change:"""
        self.enqueued: list[Enqueued] = []
        """A new list after each write."""
        self.turned: dict[str, Row] = {}
        """By the id of the message."""
        self.called: dict[str, Row] = {}
        """By the id of the reply."""
        self.dropped = 0
        """Hops lost since the last batch."""
        self.room = most
        """How much more may wait."""
        self.reserved = most // 2
        """How much of that is not for messages that are enqueued."""
        self._senders = 0

    def add(self, hop: Hop) -> None:
        """Keep a hop, if there is room."""
        if self.room > 0:
            self.room -= 1
            self.waiting.hops.append(hop)
        else:
            self.drop(1)

    def close_records(self) -> None:
        """Let no record change any more. What happens next becomes a hop, or a new record."""
        records = Entries([], self.enqueued, [*self.turned.values()], [*self.called.values()])
        kept = records.first(self.room)
        self.waiting.add(kept)
        self.room -= len(kept)
        if len(kept) < len(records):
            self.drop(records.number() - kept.number())
        # New ones, by which those who hold a record see that it is closed.
        self.enqueued, self.turned, self.called = [], {}, {}

    def drop(self, number: int) -> None:
        """Count hops that are not kept."""
        self.dropped += number
        metrics.trace_hops.labels("dropped").inc(number)

    def written(self, entries: Entries) -> None:
        """Forget the first entries, which have been written."""
        self.room += len(entries)
        self.waiting.remove(entries)

    def on(self, change: int) -> None:
        """Note that a sender starts (1) or ends (-1): without one, nothing is recorded."""
        self._senders += change
        self.is_on = self._senders > 0
        if not self.is_on:
            self.close_records()
            self.written(self.waiting)


process_hops = Recorder()
"""That of this process, as there is one registry of metrics."""


class Sender:
    """Writes the hops of this process every `EVERY` seconds; `run` it beside the links."""

    def __init__(
        self,
        process: str,
        write: Callable[[bytes, Mark], Awaitable[None]],
        recorded: Recorder = process_hops,
    ) -> None:
        """`process` is the name of this process.

        `write` writes a batch, or raises BrokerError.
        """
        self._process = process
        self._write = write
        self._recorded = recorded
        self._writing = asyncio.Lock()
        self._small: list[bytes] = []
        """Batches that will be written again."""
        self._since = 0.0

    async def run(self) -> None:
        """Write until cancelled."""
        self._recorded.on(1)
        try:
            while True:
                await asyncio.sleep(EVERY)
                with suppress(BrokerError):  # no broker: the links log that
                    await self.flush()
        finally:
            with suppress(BrokerError, asyncio.TimeoutError):
                await asyncio.wait_for(self.flush(last=True), FAREWELL)
            self._recorded.on(-1)

    async def flush(self, *, last: bool = False) -> None:
        """Write all hops; the small batches again if it is time, or the last chance.

        Raises:
            BrokerError: some are not written yet; they are kept.
        """
        async with self._writing:
            recorded = self._recorded
            recorded.close_records()
            while entries := recorded.waiting.first(BATCH):
                dropped = recorded.dropped
                body = encode(self._process, entries, dropped)
                is_small = len(body) < SMALL
                await self._write(body, (LATER if self._small else FIRST) if is_small else WHOLE)
                if is_small:
                    self._since = self._since if self._small else time.monotonic()
                    self._small.append(body)
                recorded.written(entries)
                recorded.dropped -= dropped
                metrics.trace_hops.labels("written").inc(entries.number())
            if self._small and (last or self._is_time()):
                await self._write(together(self._small), WHOLE)
                self._small.clear()

    def _is_time(self) -> bool:
        is_late = time.monotonic() >= self._since + LATEST
        return is_late or sum(map(len, self._small)) >= TOGETHER


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[None]:
    """Run a sender for the length of the block."""
    task = asyncio.ensure_future(sender.run())
    await asyncio.sleep(0)  # it begins before the first hop
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
