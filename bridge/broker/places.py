"""One queue, what the broker says about it, and where a message is published. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bridge.broker.arguments import HOLD


@dataclass(frozen=True)
class Queue:
    """One queue, and how it is bound."""

    name: str
    exchange: str
    routing_key: str
    arguments: dict[str, Any] = field(hash=False)

    @property
    def older(self) -> Queue | None:
        """The same queue as an earlier version declared it, or None.

        RabbitMQ 4.3 refuses `HOLD` for a queue that was declared without it; 4.0 ignores it.
        """
        if HOLD not in self.arguments:
            return None
        return replace(self, arguments={k: v for k, v in self.arguments.items() if k != HOLD})


class Depth(NamedTuple):
    """What the broker says about a queue."""

    ready: int
    """Messages that wait; messages that a consumer holds are not included."""
    consumers: int
    """With a single active consumer, only that one counts (measured on 4.0.5)."""
    unacked: int | None = None
    """Messages that a consumer holds; known only from the management API."""


class Address(NamedTuple):
    """Where a message is published."""

    exchange: str
    routing_key: str
