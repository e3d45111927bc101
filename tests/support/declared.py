"""Queues as an earlier version of the bridge declared them."""

from __future__ import annotations

from bridge.broker.connection import connect
from bridge.broker.topology import Topology


async def declare_as_before(url: str, namespace: str, partitions: int) -> None:
    """Declare inbound queues that have RabbitMQ's own consumer time-out (before RabbitMQ 4.3)."""
    topology = Topology(namespace, inbound_partitions=partitions)
    queues = [queue.older or queue for queue in topology.inbound_queues()]
    async with connect(url, "an earlier version") as connection:
        await connection.declare(topology.exchanges, queues, passive=False)
