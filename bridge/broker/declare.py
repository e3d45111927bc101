"""Declares, checks and deletes a `Topology` on a broker."""

from __future__ import annotations

from bridge.broker.connection import Connection
from bridge.broker.pauses import pause_queues
from bridge.broker.presence import WEBHOOKS, presence_queue
from bridge.broker.stream import trace_stream
from bridge.broker.topology import Topology
from bridge.errors import AccessRefused, PartitionsDiffer, TopologyError
from bridge.messages import INBOUND, REPLIES


async def ensure_topology(
    connection: Connection, topology: Topology, *, known: bool = False
) -> bool:
    """Declare everything, which also checks the arguments of existing objects. Idempotent.

    `known`: this process has declared it before, so a missing queue was probably deleted.

    With a broker user that lacks the configure permission, only check that everything exists, and
    return False.

    Raises:
        TopologyError: names the queue and the argument that differ, or the missing object.
    """
    await refuse_other_number(connection, topology, known=known)
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=False)
    except AccessRefused:
        await check_topology(connection, topology)
        return False
    except TopologyError as error:
        raise TopologyError(
            error.problem,
            fix="fix the settings, or remove the old queues once they are empty:"
            " rasa-bridge topology delete",
        ) from error
    # Check again: another process may have declared at the same time.
    await refuse_other_number(connection, topology)
    return True


async def repair_topology(connection: Connection, topology: Topology) -> None:
    """Declare again what is missing, unless a resize has unbound it on purpose.

    Raises:
        TopologyError: it cannot be repaired now, or not by this broker user.
    """
    if topology.closed in await connection.depths([topology.closed]):
        raise TopologyError(
            "the number of partitions is being changed",
            fix="wait until the command has ended: rasa-bridge topology resize",
        )
    if not await ensure_topology(connection, topology, known=True):
        raise TopologyError(
            "a queue is not bound, and this broker user may not bind it",
            fix="bind it as a user who may: rasa-bridge topology declare",
        )


async def check_topology(connection: Connection, topology: Topology) -> None:
    """Check that everything exists; declare nothing.

    Raises:
        TopologyError: names the missing or surplus object.
    """
    await refuse_other_number(connection, topology)
    try:
        await connection.declare(topology.exchanges, list(topology.queues()), passive=True)
    except TopologyError as error:
        raise TopologyError(
            error.problem, fix="declare it: rasa-bridge topology declare"
        ) from error


async def refuse_other_number(
    connection: Connection, topology: Topology, *, known: bool = False
) -> None:
    """Refuse numbers of partitions other than the declared ones.

    A publisher would find no queue, and a consumer would leave some queues without a consumer. If
    the topology is `known` to this process and was never resized, a last partition that is missing
    alone was deleted, and is no reason to refuse.

    Raises:
        PartitionsDiffer: names the queue that gives the difference away.
    """
    surplus = topology.surplus_queues()
    ends = [(flow[0].name, flow[-2:][0].name, flow[-1].name) for flow in topology.flows()]
    names = [topology.resizing, *surplus, *(name for three in ends for name in three)]
    there = await connection.depths(names)
    if topology.resizing in there:
        raise PartitionsDiffer(
            f"queue {topology.resizing} exists, so the number of partitions is being changed",
            fix="wait, or run the same resize again: rasa-bridge topology resize",
        )
    for name in surplus:
        if name in there:
            raise PartitionsDiffer(
                f"queue {name} exists, so another process has more partitions",
                fix="give every process the same bridge.partitions",
            )
    for first, before_last, last in ends:
        if first in there and last not in there:
            if (
                known
                and before_last in there
                and not await connection.has_exchange(topology.resized)
            ):
                continue
            raise PartitionsDiffer(
                f"queue {first} exists and {last} does not, so another process has fewer"
                " partitions",
                fix="give every process the same bridge.partitions, or change their number:"
                " rasa-bridge topology resize",
            )


async def delete_topology(connection: Connection, topology: Topology, *, force: bool) -> list[str]:
    """Delete queues, then exchanges; return the names of queues that still hold messages.

    Those are kept, and so are the exchanges. `force` deletes everything, also with messages and
    consumers.

    Raises:
        TopologyError: a queue has a consumer, which may hold uncounted messages; nothing was
            deleted.
    """
    depths = await connection.depths(queue.name for queue in topology.queues())
    used = [] if force else [name for name, depth in depths.items() if depth.consumers]
    if used:
        others = f" and {len(used) - 1} more are" if used[1:] else " is"
        raise TopologyError(f"{used[0]}{others} being consumed", fix="stop the roles first")
    kept = []
    for name, depth in depths.items():
        if depth.ready and not force:
            kept.append(name)
        else:
            await connection.delete(queue=name)
    for flow, channel in ((INBOUND, ""), *((REPLIES, channel) for channel in topology.channels)):
        for name in pause_queues(topology, flow, channel):
            await connection.delete(queue=name)
    if not kept:
        await connection.delete(queue=trace_stream(topology).name)
        await connection.delete(queue=presence_queue(topology.namespace, WEBHOOKS))
        for exchange in (*topology.exchanges, topology.resized):
            await connection.delete(exchange=exchange)
    return kept
