"""The messages a consumer holds, and the queues that give it messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from bridge.messages import Delivery
from bridge.telemetry.reports import HeldMessages

log = logging.getLogger(__name__)

WINDOW = 10.0
"""Seconds for which a queue counts as active after its latest message."""


class Holdings:
    """The messages in flight: delivered by the broker, not settled yet.

    A queue delivers in order, so its oldest message in flight is the first one noted.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._queues: dict[str, dict[int, float]] = {}
        """Queue → delivery → Unix time of its message, in order of arrival."""
        self._latest: Delivery | None = None

    def add(self, delivery: Delivery, at: float) -> None:
        """Note a delivery; `at` is the Unix time of its message."""
        held = self._queues.get(delivery.queue)
        if held is None:
            held = self._queues[delivery.queue] = {}
        held[id(delivery)] = at
        self._latest = delivery

    def remove(self, delivery: Delivery) -> None:
        """Note that a message is settled."""
        del self._queues[delivery.queue][id(delivery)]

    def queues(self) -> dict[str, HeldMessages]:
        """Return number and oldest time of the messages in flight, by queue.

        None once the connection is lost: the messages are on their queues again.
        """
        if self._latest is None or not self._latest.is_current():
            return {}
        return {
            queue: HeldMessages(len(held), next(iter(held.values())))
            for queue, held in self._queues.items()
            if held
        }

    def oldest_age(self) -> float:
        """Return the age of the oldest message in seconds, 0 if there is none.

        Safe to call from another thread, as a scrape does.
        """
        times = [at for held in list(self._queues.values()) for at in list(held.values())[:1]]
        return max(0.0, self._clock() - min(times)) if times else 0.0


class ActiveQueues:
    """Counts the queues that deliver to this consumer, and logs changes of that number.

    RabbitMQ does not tell a consumer that it is the single active one of a queue, so the number is
    derived from the messages that arrive.
    """

    def __init__(self, queues: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`queues` is the number of queues consumed."""
        self._queues = queues
        self._clock = clock
        self._latest: dict[str, float] = {}
        self._logged = 0
        self._next_log = clock()

    def note(self, queue: str) -> None:
        """Note that a message arrived from a queue."""
        self._latest[queue] = self._clock()

    def number(self) -> int:
        """Return how many queues delivered a message in the last `WINDOW` seconds."""
        since = self._clock() - WINDOW
        # Iterate over a copy: a scrape calls this from its thread.
        return sum(at > since for at in list(self._latest.values()))

    def report(self) -> None:
        """Log the number if it changed, at most every `WINDOW` seconds; silence is not logged."""
        now = self._clock()
        if now < self._next_log:
            return
        active = self.number()
        if active not in (0, self._logged):
            log.info("messages from %d of %d queues", active, self._queues)
            self._logged = active
            self._next_log = now + WINDOW
