"""The messages that a consumer holds: handed out by the broker, not settled yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.messages import Delivery
from bridge.telemetry.reports import HeldMessages


class Held:
    """Since a queue hands out in its order, its oldest message is the oldest one held of it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._queues: dict[str, dict[int, float]] = {}
        """Queue → delivery → Unix time of its message, in the order in which they came."""

    def add(self, delivery: Delivery, at: float) -> None:
        """`at` is the Unix time of the message."""
        self._queues.setdefault(delivery.queue, {})[id(delivery)] = at

    def remove(self, delivery: Delivery) -> None:
        """The message is settled."""
        held = self._queues[delivery.queue]
        del held[id(delivery)]
        if not held:
            del self._queues[delivery.queue]

    def queues(self) -> dict[str, HeldMessages]:
        """Return what is held of each queue of which something is."""
        return {
            queue: HeldMessages(len(held), next(iter(held.values())))
            for queue, held in self._queues.items()
        }

    def oldest_age(self) -> float:
        """Seconds since the time of the oldest message of all; 0 if there is none.

        May be asked from another thread, as a scrape is.
        """
        times = [at for held in list(self._queues.values()) for at in list(held.values())[:1]]
        return max(0.0, self._clock() - min(times)) if times else 0.0
