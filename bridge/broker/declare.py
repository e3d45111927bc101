"""Declare, check and delete a `Topology` on a broker. What it is made of says `topology.py`."""

from __future__ import annotations

from bridge.broker.connection import Connection
from bridge.broker.topology import Topology
from bridge.errors import AccessRefused, TopologyError


async def ensure_topology(connection: Connection, topology: Topology) -> None:
    """Declare everything, which also checks the arguments of what exists; idempotent.

    A broker user without the configure permission only checks that everything exists.

    Raises:
        TopologyError: names the queue and the argument that differ, or what is missing.
    """
    await refuse_other_number(connection, topology)
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=False)
    except AccessRefused:
        await check_topology(connection, topology)
        return
    except TopologyError as error:
        raise TopologyError(
            error.problem,
            fix="fix the settings, or remove the old queues once they are empty with: rasa-bridge"
            " topology delete",
        ) from error
    # Once more: another process may have declared at the same time.
    await refuse_other_number(connection, topology)


async def check_topology(connection: Connection, topology: Topology) -> None:
    """Check that everything exists; declare nothing.

    Raises:
        TopologyError: names what is missing, or what there is too much of.
    """
    await refuse_other_number(connection, topology)
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=True)
    except TopologyError as error:
        raise TopologyError(
            error.problem, fix="declare it with: rasa-bridge topology declare"
        ) from error


async def refuse_other_number(connection: Connection, topology: Topology) -> None:
    """Refuse to go on with other numbers of partitions than those that are declared.

    A publisher would find no queue, a consumer would leave some to nobody.

    Raises:
        TopologyError: the numbers differ, or are being changed.
    """
    surplus = topology.surplus_queues()
    ends = [(flow[0].name, flow[-1].name) for flow in topology.flows()]
    names = [topology.resizing, *surplus, *(name for pair in ends for name in pair)]
    there = await connection.depths(names)
    if topology.resizing in there:
        raise TopologyError(
            f"queue {topology.resizing} exists, so the number of partitions is being changed",
            fix="wait, or run once more: rasa-bridge topology resize",
        )
    for name in surplus:
        if name in there:
            raise TopologyError(
                f"queue {name} exists, so another process has more partitions",
                fix="give every process the same bridge.partitions",
            )
    for first, last in ends:
        if first in there and last not in there:
            raise TopologyError(
                f"queue {first} exists and {last} does not, so another process has fewer"
                " partitions",
                fix="give every process the same bridge.partitions, or change their number with:"
                " rasa-bridge topology resize",
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
