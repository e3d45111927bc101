"""The arguments of the queues, each with its reason beside it.

The facts come from RabbitMQ's documentation on quorum queues
(https://www.rabbitmq.com/docs/quorum-queues), consumers (…/docs/consumers) and consumer priorities
(…/docs/consumer-priority).
"""

from __future__ import annotations

from typing import Any

from bridge.messages import Flow

DELIVERY_LIMIT = 100
"""Returns to the queue after which RabbitMQ dead-letters a message itself. Each restart of a
consumer counts for everything it had prefetched, so RabbitMQ 4's default (20) is too low."""
HELD_AT_MOST = 7 * 24 * 3600_000
"""Milliseconds for which a consumer may hold a message. While a service is down, its replies are
held on purpose (`bridge.delivery.circuit_breaker`), and a message waits in a slow lane. With
RabbitMQ's default of half an hour, all of them would be returned to their queues again and again.
It is an argument of the queue, and for RabbitMQ 4.3 and later also of the consumer (measured)."""
HOLD = "x-consumer-timeout"
SOCKETS_EXPIRE = 300_000
"""Milliseconds after which RabbitMQ deletes the event queue of a webhook process that is gone."""
DEAD = {
    "x-queue-type": "quorum",
    # Every look returns the messages, so with a low limit the broker would drop them some
    # day. Not -1 (no limit): pamqp 3 (aio-pika 8) cannot encode it, and its writer then
    # stops silently.
    "x-delivery-limit": 1_000_000_000,
}
"""Of a dead-letter queue."""


RECEIPTS = {
    "x-queue-type": "quorum",
    # Its active consumer remembers what was sent.
    "x-single-active-consumer": True,
    # Each takeover returns what waits for receipts. Not -1: see `DEAD`.
    "x-delivery-limit": 1_000_000_000,
    # Without a consumer the oldest are dropped: receipts must never refuse a user's message, and
    # a service posts both in one request.
    "x-max-length": 200_000,
    "x-max-length-bytes": 1 << 30,
    "x-overflow": "drop-head",
    HOLD: HELD_AT_MOST,
}
"""Of the receipt queue of a channel."""


def partition_arguments(dead_exchange: str, flow: Flow) -> dict[str, Any]:
    """Return the arguments of a partition's queue."""
    return {
        # Replicated and on disk: survives a crash of the broker.
        "x-queue-type": "quorum",
        # One consumer at a time keeps the order, the others stand by. A policy cannot set it.
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        # Last resort beyond the delivery limit; without it the message would be dropped.
        "x-dead-letter-exchange": dead_exchange,
        "x-dead-letter-routing-key": flow,
        # Keep the message until the dead-letter queue has confirmed it. This needs
        # reject-publish, which also makes a full queue refuse (→ 503) instead of dropping.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        HOLD: HELD_AT_MOST,
    }
