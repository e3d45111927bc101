"""The queues on which a message waits until it is due, and their arguments.

Each delay has a queue. In one queue for all of them, a message with a long delay would hold up
those with a shorter one behind it: RabbitMQ looks at the head of a queue only.
"""

from __future__ import annotations

from typing import Any

from bridge.broker.arguments import partition_arguments
from bridge.messages import INBOUND

DELAYS = tuple(0.25 * 4**n for n in range(10))
"""Seconds for which a message can be put aside: 0.25, 1, 4, … up to 18 hours."""
DUE = "due"
"""Routing key of messages whose delay is over."""


def delay_key(seconds: float) -> str:
    """Return the routing key of the longest delay that ends within `seconds`; at least `DELAYS[0]`.

    So a message may have to wait several times, and is never late because of a delay.
    """
    return f"{max((delay for delay in DELAYS if delay <= seconds), default=DELAYS[0]):g}"


def delay_queues(exchange: str, dead_exchange: str) -> dict[str, dict[str, Any]]:
    """Return routing key → arguments; first the queue of what is due, then one per delay."""
    due = partition_arguments(dead_exchange, INBOUND)
    del due["x-single-active-consumer"]
    return {
        DUE: due,
        **{delay_key(delay): _delay_arguments(exchange, delay) for delay in DELAYS},
    }


def _delay_arguments(exchange: str, delay: float) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": int(delay * 1000),
        "x-dead-letter-exchange": exchange,
        "x-dead-letter-routing-key": DUE,
        # As in `partition_arguments`.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
