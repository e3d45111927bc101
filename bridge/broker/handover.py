"""Requests for a partition: its next process asks the one that still holds messages of it.

RabbitMQ does not tell a process that another one waits for its partition. So every process that
consumes partitions with several queues (`processing.partitions`) also consumes a private queue, and
all of these are bound to the same key. A request is obeyed if the process that sends it has the
higher consumer priority: then RabbitMQ delivers nothing more to the other one anyway.

Without the permission for that queue, a process says so once, and hands a partition over when it
has settled what it holds.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

import msgspec

from bridge.broker.connection import Connection
from bridge.broker.topology import Topology
from bridge.errors import AccessRefused
from bridge.messages import UNREADABLE, Delivery

log = logging.getLogger(__name__)

HANDOVER = "handover"
"""AMQP `type` of a request."""


class _Request(msgspec.Struct, frozen=True):
    queue: str
    priority: int


_decoder = msgspec.json.Decoder(_Request)


def handover_key(topology: Topology) -> str:
    """Return the key with which the queues for requests are bound."""
    return f"{topology.namespace}.{HANDOVER}"


def request(queue: str, priority: int) -> bytes:
    """Return the body of a request for a queue, of a process with this consumer priority."""
    return msgspec.json.encode(_Request(queue, priority))


async def hear(
    connection: Connection, topology: Topology, on_request: Callable[[str, int], None]
) -> None:
    """Call `on_request(queue, priority)` for each request, until the connection is lost."""

    def heard(delivery: Delivery) -> None:
        try:
            asked = _decoder.decode(delivery.body)
        except UNREADABLE:
            return
        on_request(asked.queue, asked.priority)

    key = handover_key(topology)
    channel = await connection.consumer_channel(prefetch=0, is_vital=False)
    try:
        name = f"{key}.{secrets.token_hex(8)}"
        await channel.consume_private(heard, topology.private_exchange, key, name)
    except AccessRefused as error:
        log.warning(
            "partitions are handed over later than they could be: %s; a worker needs the"
            " permissions to configure, write and read %s.*",
            error.problem,
            key,
        )
