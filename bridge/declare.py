"""Declare, check and delete a `Topology` on a broker. What it is made of says `topology.py`."""

from __future__ import annotations

from bridge.amqp import Connection
from bridge.errors import TopologyError
from bridge.topology import Topology


async def ensure_topology(connection: Connection, topology: Topology) -> None:
    """Declare everything, which also checks the arguments of what exists; idempotent.

    A broker user without the configure permission only checks that everything exists.

    Raises:
        TopologyError: names the queue and the argument that differ, or what is missing.
    """
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=False)
    except TopologyError as error:
        if "ACCESS_REFUSED" in str(error):
            await check_topology(connection, topology)
            return
        raise TopologyError(
            f"{error}; fix the settings, or remove the old queues once they are empty with:"
            " rasa-bridge topology delete"
        ) from error
    await _refuse_surplus(connection, topology)


async def check_topology(connection: Connection, topology: Topology) -> None:
    """Check that everything exists; declare nothing.

    Raises:
        TopologyError: names what is missing, or what there is too much of.
    """
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=True)
    except TopologyError as error:
        raise TopologyError(f"{error}; declare it with: rasa-bridge topology declare") from error
    await _refuse_surplus(connection, topology)


async def _refuse_surplus(connection: Connection, topology: Topology) -> None:
    """A process set to more partitions than this one fills queues that this one never reads."""
    for name in topology.surplus_queues():
        if await connection.ready_messages(name) is not None:
            raise TopologyError(
                f"queue {name} exists, so another process has more partitions: give every process"
                " the same bridge.partitions"
            )


async def delete_topology(connection: Connection, topology: Topology, *, force: bool) -> list[str]:
    """Delete queues, then exchanges; return the names of queues kept because messages wait there.

    `force` deletes them with their messages, and whoever reads them.

    Raises:
        TopologyError: a queue is being read, so that it may have messages that nobody counts;
            nothing is deleted.
    """
    depths = await connection.depths(queue.name for queue in topology.queues())
    used = [] if force else [name for name, depth in depths.items() if depth.consumers]
    if used:
        others = f" and {len(used) - 1} more are" if used[1:] else " is"
        raise TopologyError(f"{used[0]}{others} being read: stop the roles first")
    kept = []
    for name, depth in depths.items():
        if depth.ready and not force:
            kept.append(name)
        else:
            await connection.delete(queue=name)
    if not kept:
        for exchange in topology.exchanges:
            await connection.delete(exchange=exchange)
    return kept
