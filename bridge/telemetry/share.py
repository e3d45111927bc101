"""Which of the queues that a consumer has asked for give it messages.

RabbitMQ tells no consumer that it is the single active one of a queue. So the share is read from
what arrives: a queue counts whose last message came within `WINDOW` seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

WINDOW = 10.0


class Share:
    """Notes what arrives, and logs how many queues it came from whenever that number changes."""

    def __init__(self, queues: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`queues` is the number of queues that are consumed."""
        self._queues = queues
        self._clock = clock
        self._latest: dict[str, float] = {}
        self._logged = 0
        self._next_log = clock()

    def note(self, queue: str) -> None:
        """A message came from this queue."""
        self._latest[queue] = self._clock()

    def active(self) -> int:
        """Return how many queues gave a message in the last `WINDOW` seconds."""
        since = self._clock() - WINDOW
        # A copy: a scrape asks from a thread of its own.
        return sum(at > since for at in list(self._latest.values()))

    def report(self) -> None:
        """Log the share if it changed, at most once in `WINDOW` seconds; silence is not logged."""
        now = self._clock()
        if now < self._next_log:
            return
        active = self.active()
        if active not in (0, self._logged):
            log.info("messages from %d of %d queues", active, self._queues)
            self._logged = active
            self._next_log = now + WINDOW
