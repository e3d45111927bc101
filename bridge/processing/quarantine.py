"""Quarantine: messages that may be what kills the processes that run them.

A crash raises the delivery count of everything the process had prefetched, so the broker's count
alone proves nothing: it only puts a message in quarantine. A counter on the broker convicts it: one
is added before each attempt, and the counter is reset when the attempt ends, in whatever way. A
process runs quarantined messages one at a time, so a crash counts against one of them only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress

from bridge.broker.queues import Queues
from bridge.errors import BrokerError, Poison
from bridge.messages import Delivery
from bridge.telemetry.logs import described

log = logging.getLogger(__name__)

QUARANTINE_AFTER = 3
"""Returns to its queue after which a message is quarantined."""
POISON_AFTER = 3
"""Attempts in a row that ended with their process, after which a message is dead-lettered."""
REMEMBERED = 24 * 3600.0
"""Seconds after which the broker forgets an attempt that never ended."""


class Quarantine:
    """Runs quarantined messages alone and counts their attempts; one per process and flow."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._alone = asyncio.Lock()
        self._ended: set[str] = set()
        """Counters of attempts that ended here but could not be reset on the broker yet."""

    def place(self, delivery: Delivery) -> AbstractAsyncContextManager[None]:
        """Return a context that only one quarantined message at a time may enter."""
        return self._alone if is_quarantined(delivery) else nullcontext()

    @asynccontextmanager
    async def attempt(self, delivery: Delivery, key: tuple[str, ...]) -> AsyncIterator[None]:
        """Count the attempt made inside the block, if its message is quarantined.

        `key` identifies the message among all others.

        Raises:
            Poison: too many attempts ended with their process; do not run it again.
        """
        if not is_quarantined(delivery):
            yield
            return
        log.warning("quarantined: returned to its queue %d times", delivery.delivery_count)
        counter = "\0".join(key)
        await self._begin(counter)
        try:
            yield
        finally:
            self._ended.add(counter)
            with suppress(BrokerError):
                await self._end(counter)

    async def _end(self, counter: str) -> None:
        await self._queues.end_attempt(counter)
        self._ended.discard(counter)

    async def _begin(self, counter: str) -> None:
        try:
            if counter in self._ended:
                await self._end(counter)
            died = await self._queues.begin_attempt(counter, REMEMBERED)
        except BrokerError as error:
            # One uncounted attempt is better than a conversation that stands still.
            log.warning("an attempt is not counted (%s)", described(error))
            return
        if died >= POISON_AFTER:
            raise Poison(died)


def is_quarantined(delivery: Delivery) -> bool:
    return delivery.delivery_count >= QUARANTINE_AFTER
