"""Quarantine: messages that may be what kills, or blocks, the processes that run them.

A message is suspected once it was returned to its queue three times. Returns by a process that
lived on do not count: they are the connection's. A counter on the broker convicts a suspect. One is
added before each attempt and taken back when the attempt was cut off, which proves nothing; the
counter is reset when an attempt ends by itself. The watchdog adds one for a message that blocks the
event loop.

Each crash shrinks the group in which a suspect runs: first beside all others, then with few
suspects, then alone in its process. So a suspect that never crashes loses no time, and the last
crash is that of one message.

Attempts that exceed their deadline have a counter too. They harm no other message, so they end
this one only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

from bridge.broker.connection import connect
from bridge.broker.counters import Counters
from bridge.broker.publisher import CONFIRM_TIMEOUT
from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import AccessRefused, BrokerError, DeadlineExceeded, Poison
from bridge.messages import NORMAL, Delivery, Priority
from bridge.processing.admission import Slots
from bridge.runtime.work import Work
from bridge.telemetry.logs import described

log = logging.getLogger(__name__)

QUARANTINE_AFTER = 3
"""Suspicious returns to its queue after which a message is quarantined."""
CONVICTED_AFTER = 3
"""Attempts that killed or blocked their process, or exceeded their deadline, after which a message
is dead-lettered."""
FEW = 4
"""One suspect in this many slots may run after its first crash."""
REMEMBERED = 24 * 3600.0
"""Seconds after which the broker forgets an attempt."""
KNOWN = 50_000
"""Returned messages that a process remembers."""
PATIENCE = 2.0
"""Seconds that a lane waits until the end of an attempt is recorded."""


class Convicted(Exception):
    """The message must not run again."""

    def __init__(self, reason: str, error: Exception, attempts: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error
        self.attempts = attempts


class NotCurrent(Exception):
    """RabbitMQ may have delivered the message to another process meanwhile."""


class Returned(NamedTuple):
    """A message that this process held when a connection was lost."""

    delivery_count: int
    excused: int
    """Returns before that one which were a connection's."""


class Quarantine:
    """Runs suspects in shrinking groups and counts their attempts; one per process and flow."""

    def __init__(self, queues: Queues, slots: Slots) -> None:
        self._queues = queues
        self._slots = slots
        self._few = asyncio.Semaphore(max(1, slots.concurrency // FEW))
        self._returned: OrderedDict[str, Returned] = OrderedDict()
        self._blocked: set[str] = set()
        """Messages that may have blocked the event loop: their returns are not excused."""
        self._recording: dict[str, asyncio.Task[None]] = {}
        """The ends of attempts that the broker does not know yet, by message."""

    def suspects(self, delivery: Delivery, key: str) -> bool:
        """Whether a message was returned so often that it is quarantined."""
        count = delivery.delivery_count
        if count < QUARANTINE_AFTER:
            return False
        return count - self._excused(delivery, key) >= QUARANTINE_AFTER

    def returned(self, delivery: Delivery, key: str) -> None:
        """Note that a connection was lost, and with it a message that this process held."""
        if key not in self._blocked:
            excused = self._excused(delivery, key)
            self._returned[key] = Returned(delivery.delivery_count, excused)
            self._returned.move_to_end(key)
            if len(self._returned) > KNOWN:
                self._returned.popitem(last=False)

    def _excused(self, delivery: Delivery, key: str) -> int:
        known = self._returned.get(key)
        if known is None:
            return 0
        return known.excused + (delivery.delivery_count > known.delivery_count)

    def slot(
        self, delivery: Delivery, work: Work, lane: Hashable, priority: Priority = NORMAL
    ) -> AbstractAsyncContextManager[object]:
        """Hold a slot in the group of a message for the length of the block.

        Raises:
            Convicted: it killed or blocked too many processes, or took too long too often.
        """
        if self.suspects(delivery, work.key):
            return self._slot_of_suspect(delivery, work, lane, priority)
        return self._slots.hold(lane, priority)

    @asynccontextmanager
    async def _slot_of_suspect(
        self, delivery: Delivery, work: Work, lane: Hashable, priority: Priority
    ) -> AsyncIterator[None]:
        log.warning("quarantined: returned to its queue %d times", delivery.delivery_count)
        crashes = await self._look(work.key)
        if crashes == 0:
            async with self._slots.hold(lane, priority):
                yield
        elif crashes == 1:
            async with self._few, self._slots.hold(lane, priority):
                yield
        else:
            async with self._slots.hold_all():
                yield

    async def begin(self, delivery: Delivery, work: Work) -> None:
        """Begin an attempt at a suspect: it is counted until `end`.

        Raises:
            Convicted: as `slot`.
            NotCurrent: the connection is lost; the attempt must not start.
        """
        try:
            await self._begin(work)
        except asyncio.CancelledError:
            if work.counted:
                await self.end(work, asyncio.CancelledError)
            raise
        if not delivery.is_current():
            await self.end(work, NotCurrent)
            raise NotCurrent

    async def end(self, work: Work, error: type[BaseException] | None) -> None:
        """Note that an attempt ended, with an error of this class. Needless for one that was
        neither counted nor blocked."""
        if error is not None and issubclass(error, (asyncio.CancelledError, NotCurrent)):
            await self._ended(work, lambda name: self._queues.counters.down(name, REMEMBERED))
        else:
            await self._ended(work, self._queues.counters.reset)

    async def exceeded(self, key: str) -> int:
        """Count an attempt that exceeded its deadline; return how many did (0: not counted)."""
        try:
            return 1 + await self._queues.counters.up(self._slow_counter(key), REMEMBERED)
        except BrokerError as error:
            log.warning("an exceeded deadline is not counted (%s)", described(error))
            return 0

    async def _look(self, key: str) -> int:
        """Return the crashes of a suspect, or raise Convicted."""
        # A process that has just started may receive a suspect before it can count.
        await self._queues.usable()
        names = [self._queues.attempts_counter(key), self._slow_counter(key)]
        try:
            await self._recorded(key)
            crashes, exceeded = await self._queues.counters.read(names)
        except BrokerError as error:
            log.warning("the attempts of a suspect are unknown (%s)", described(error))
            # They may be many: beside others, it could be convicted of the crash of another one.
            return 0 if isinstance(error, AccessRefused) else CONVICTED_AFTER - 1
        if crashes >= CONVICTED_AFTER:
            raise Convicted("poison", Poison(crashes), crashes)
        if exceeded >= CONVICTED_AFTER:
            raise Convicted("timed out", DeadlineExceeded(None), exceeded)
        return crashes

    async def _begin(self, work: Work) -> None:
        counter = self._queues.attempts_counter(work.key)
        try:
            await self._recorded(work.key)
            work.counted = True  # the count may be stored, even if this is cancelled
            crashes = await self._queues.counters.up(counter, REMEMBERED)
        except BrokerError as error:
            # One uncounted attempt is better than a conversation that stands still. But it may be
            # counted, if only the answer is lost: an attempt that ends must not count as a crash.
            work.counted = not isinstance(error, AccessRefused)
            log.warning("an attempt may not be counted (%s)", described(error))
            return
        if crashes >= CONVICTED_AFTER:
            raise Convicted("poison", Poison(crashes), crashes)

    async def _ended(self, work: Work, record: Callable[[str], Awaitable[None]]) -> None:
        """Have the end of an attempt recorded; wait for it a moment if the broker answers."""
        if work.blocked:
            self._blocked.update(work.members or (work.key,))
            return
        if not work.counted:
            return
        counter = self._queues.attempts_counter(work.key)
        task = asyncio.ensure_future(until_confirmed(lambda: record(counter), "end of an attempt"))
        self._recording[work.key] = task
        task.add_done_callback(lambda _: self._recording.pop(work.key, None))
        if not self._queues.problem():
            await asyncio.wait({task}, timeout=PATIENCE)

    async def _recorded(self, key: str) -> None:
        """Wait until the end of the latest attempt is recorded.

        Raises:
            BrokerError: not recorded yet.
        """
        recording = self._recording.get(key)
        if recording is not None:
            await asyncio.wait({recording}, timeout=PATIENCE)
            if not recording.done():
                raise BrokerError("the end of an attempt is not recorded yet")

    def _slow_counter(self, key: str) -> str:
        return self._queues.attempts_counter(f"{key}\0exceeded")


async def count_crash(url: Urls, name: str, topology: Topology, key: str) -> None:
    """Add one to the counter of a message, over a separate connection, until it is confirmed.

    For the watchdog, whose process cannot use its event loop.
    """

    async def count() -> None:
        async with connect(url, f"{name} watchdog") as connection:
            counters = Counters(lambda: connection, topology.private_exchange, CONFIRM_TIMEOUT)
            await counters.up(topology.attempts_counter(key), REMEMBERED)

    await until_confirmed(count, "the count of a blocked event loop")
