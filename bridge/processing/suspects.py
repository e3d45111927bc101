"""Messages that came back so often that they may be what kills the processes that run them.

Each crash counts for everything that the process had prefetched, so the broker's delivery count
makes suspects and convicts nobody. What convicts is a counter of the suspect's own, which the
broker keeps: one up before an attempt, zero once the attempt has ended in whatever way. Suspects
run one at a time in a process: what dies with it then is the attempt at one of them.
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

SUSPECT_AFTER = 3
"""Returns to its queue that make a message a suspect."""
POISON_AFTER = 3
"""Attempts in a row that ended with their process, after which it is not tried again."""
REMEMBERED = 24 * 3600.0
"""Seconds after which the broker forgets an attempt that never ended."""


class Suspects:
    """Watches over the attempts at suspects; one a process and flow."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._one = asyncio.Lock()
        self._ended: set[str] = set()
        """Counters of attempts that have ended here, which the broker does not know yet."""

    def place(self, delivery: Delivery) -> AbstractAsyncContextManager[None]:
        """The one place for a suspect in this process; everything else has places enough."""
        return self._one if _is_suspect(delivery) else nullcontext()

    @asynccontextmanager
    async def attempt(self, delivery: Delivery, key: tuple[str, ...]) -> AsyncIterator[None]:
        """Count the attempt that is made inside, if it is one at a suspect.

        `key` tells the message from all others.

        Raises:
            Poison: it must not be tried again.
        """
        if not _is_suspect(delivery):
            yield
            return
        log.warning("came back %d times: run alone", delivery.delivery_count)
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
            # One attempt more, rather than a conversation that stands still.
            log.warning("an attempt is not counted (%s)", described(error))
            return
        if died >= POISON_AFTER:
            raise Poison(died)


def _is_suspect(delivery: Delivery) -> bool:
    return delivery.delivery_count >= SUSPECT_AFTER
