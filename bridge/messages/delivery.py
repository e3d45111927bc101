"""A message as RabbitMQ delivers it. Plain data: only `ack` and `requeue` reach the broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

REPEATED = "x-bridge-repeated"
"""AMQP header of a copy on an overflow queue whose original was delivered before."""


async def _nothing() -> None:
    return None


def _always() -> bool:
    return True


class Delivery(msgspec.Struct, frozen=True, eq=False):
    """One message as it came from a queue, not yet decoded."""

    queue: str
    body: bytes
    kind: str | None
    """The AMQP `type` property, see `TYPES`."""
    message_id: str | None
    """The bridge's message id (the AMQP `correlation_id`, see `ConfirmChannel.publish`)."""
    redelivered: bool
    """RabbitMQ delivered it before, so its effects may already have happened."""
    delivery_count: int
    """How often it was returned to its queue (`x-delivery-count` of quorum queues)."""
    ack: Callable[[], Awaitable[None]]
    """Settles the message. Does nothing once its connection is lost."""
    headers: Mapping[str, Any] = msgspec.field(default_factory=dict)
    """The AMQP headers, unchanged: text that is not UTF-8 is bytes, as is a float written by
    aio-pika 8."""

    overflowed: bool = False
    """It waited in an overflow queue, and not in `queue`."""
    publish_id: str | None = None
    """A value that differs between any two publishes (the AMQP `message_id`), if there is one."""
    requeue: Callable[[], Awaitable[None]] = _nothing
    """Returns the message to the front of its queue, which counts as a delivery before RabbitMQ
    4.3. Does nothing once its connection is lost."""

    is_current: Callable[[], bool] = _always
    """False once RabbitMQ may have delivered the message to another process: its connection is
    lost, or shows no sign of life since a pause of this process. Then start no work on it."""

    malformed: str = ""
    """What is wrong with the AMQP properties, if anything; such a message is undecodable."""

    @property
    def partition(self) -> str:
        """The partition number at the end of the queue's name."""
        return self.queue.rpartition(".")[2]

    @property
    def ids(self) -> dict[str, object]:
        """Return the ids that identify an undecodable message in logs."""
        return {"message_id": self.message_id}
