"""Changes the number of partitions.

With another number a conversation moves to another queue, so none of its messages may be waiting or
in flight at that moment.

| step | why |
| --- | --- |
| unbind the inbound queues | publishers are refused, and providers send again |
| keep the queue `Topology.closed` | publishers do not bind them again; it expires by itself |
| wait until no message waits and no consumer is left | without a consumer, nothing is unacked |
| declare the queue `Topology.resizing` | a role that starts or connects now is refused |
| check again `SETTLE` seconds later | a role or a publish under way has arrived by then |
| declare the new queues, delete the surplus | keys hold the number: old publishers stay refused |
| delete the queue `Topology.resizing` | roles with the new number may start |

Up to the third step nothing has changed, and any role that connects binds the queues again. From
then on, no role can start until the same resize, possibly run again, has completed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import Queue, Topology
from bridge.errors import BrokerError, TopologyError

POLL = 1.0
CLOSED_EXPIRES = 30_000
"""Milliseconds after which publishers may repair the bindings if the resize was killed."""
SETTLE = 5.0
"""Seconds: a publisher waits this long for a confirm, and a role checks and binds faster."""


class Resize:
    """Changes the numbers of partitions while nothing runs."""

    def __init__(
        self, connection: Connection, old: Topology, new: Topology, tell: Callable[[str], None]
    ) -> None:
        """`tell` receives one line whenever the progress changes."""
        self._connection = connection
        self._old = old
        self._new = new
        self._tell = tell
        self._told = ""
        self._changes = [
            (before, after)
            for before, after in zip(old.flows(), new.flows(), strict=True)
            if len(before) != len(after)
        ]
        self._inbound_changes = old.inbound_partitions != new.inbound_partitions

    async def run(self) -> None:
        """Return once the new numbers are in force. It may be cancelled and run again.

        Raises:
            TopologyError: the old numbers are not those in force.
            BrokerError: the resize stopped; run it again.
        """
        if not await self._exists(self._old.resizing):
            if await self._in_force(self._new):
                self._tell("the broker already has these numbers of partitions")
                return
            if not await self._in_force(self._old):
                raise TopologyError(
                    "the broker has other numbers of partitions than endpoints.yml",
                    fix="write the broker's numbers into endpoints.yml, and run the resize again",
                )
        still = False
        while not still:
            if not await self._exists(self._old.resizing) or await self._in_the_way():
                await self._connection.delete(queue=self._old.resizing)
                await self._standstill()
                await self._seal()
            await asyncio.sleep(SETTLE)
            await self._close()
            still = not await self._in_the_way()
        for before, after in self._changes:
            await self._change(before, after)
        # From now on, a missing last partition may mean that there are fewer.
        await self._connection.declare((self._new.resized,), [], passive=False)
        await self._connection.delete(queue=self._old.resizing)
        await self._connection.delete(queue=self._old.closed)
        await ensure_topology(self._connection, self._new)

    async def _in_force(self, topology: Topology) -> bool:
        """Whether the declared queues have these numbers of partitions."""
        for partitions, beyond in zip(topology.flows(), topology.surplus_queues(), strict=True):
            names = partitions[0].name, partitions[-1].name, beyond
            there = await self._connection.depths(names)
            if [name in there for name in names] not in ([False] * 3, [True, True, False]):
                return False
        return True

    async def _seal(self) -> None:
        exchange, name = self._old.inbound_exchange, self._old.resizing
        seal = Queue(name, exchange, name, {"x-queue-type": "quorum"})
        await self._connection.declare((exchange,), [seal], passive=False)

    async def _standstill(self) -> None:
        """Wait until no message and no consumer is left. If cancelled, bind the queues again."""
        try:
            while True:
                # Every time, because a role that connects binds the queues again.
                await self._close()
                problem = await self._in_the_way()
                if not problem:
                    return
                if problem != self._told:
                    self._told = problem
                    self._tell(problem)
                await asyncio.sleep(POLL)
        except BaseException:
            with suppress(BrokerError):
                await self._connection.delete(queue=self._old.closed)
                await ensure_topology(self._connection, self._old)
            raise

    async def _close(self) -> None:
        if self._inbound_changes:
            exchange, name = self._old.inbound_exchange, self._old.closed
            mark = Queue(name, exchange, name, {"x-expires": CLOSED_EXPIRES})
            await self._connection.declare((exchange,), [mark], passive=False)
            await self._connection.unbind(self._inbound())

    async def _in_the_way(self) -> str:
        """Return what must happen before anything may change, or ""."""
        problem = await self._busy("worker", self._inbound(), must_be_empty=self._inbound_changes)
        if problem or self._old.reply_partitions == self._new.reply_partitions:
            return problem
        # No worker runs, so no further reply arrives on these queues.
        replies = [q for c in self._old.channels for q in self._old.reply_queues(c)]
        return await self._busy("deliver", replies, must_be_empty=True)

    def _inbound(self) -> list[Queue]:
        return [queue for flow in self._old.inbound_flows() for queue in flow]

    async def _busy(self, role: str, queues: Sequence[Queue], *, must_be_empty: bool) -> str:
        depths = (await self._connection.depths(q.name for q in queues)).values()
        waiting = sum(depth.ready for depth in depths)
        consumed = sum(depth.consumers > 0 for depth in depths)
        if must_be_empty and waiting:
            next_step = f"a {role} is processing them" if consumed else f"start a {role} again"
            return f"{waiting} messages wait: {next_step}"
        if consumed:
            return f"stop every {role}: {consumed} queues still have a consumer"
        return ""

    async def _change(self, before: Sequence[Queue], after: Sequence[Queue]) -> None:
        await self._connection.unbind(list(before))
        exchange = after[0].exchange
        await self._connection.declare((exchange,), list(after), passive=False)
        for queue in before[len(after) :]:
            await self._connection.delete(queue=queue.name)

    async def _exists(self, queue: str) -> bool:
        return await self._connection.ready_messages(queue) is not None
