"""Change the number of partitions. With another number a conversation moves to another queue, so
none of its messages may wait or be held anywhere at that moment.

| step | why |
| --- | --- |
| take the inbound queues off their exchange | publishers are refused, senders send again |
| wait until nothing waits and nobody consumes | without a consumer nothing is unacked |
| declare `Topology.resizing` | a role that starts or connects now is refused |
| look again `SETTLE` seconds later | a role or a publish under way has arrived by then |
| declare the new, delete the surplus | keys hold the number: old publishers stay refused |
| delete `Topology.resizing` | roles with the new number may start |

Up to the third step nothing has changed, and every role that connects opens the way again. From
there on nothing runs until the same resize, run once more, has come to its end.
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
SETTLE = 5.0
"""Seconds: as long as a publisher waits for a confirm; a role checks and binds in less."""


class Resize:
    """From one number of partitions to another, by way of a standstill."""

    def __init__(
        self, connection: Connection, old: Topology, new: Topology, tell: Callable[[str], None]
    ) -> None:
        """`tell` is given a line whenever there is something new to say."""
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
        """Return once the new number is in force. May be cancelled, and run again.

        Raises:
            TopologyError: the old number is not the one in force.
            BrokerError: it stopped.
        """
        if not await self._exists(self._old.resizing):
            if await self._in_force(self._new):
                self._tell("these numbers are in force already")
                return
            if not await self._in_force(self._old):
                raise TopologyError(
                    "the broker has other numbers of partitions than endpoints.yml: write those"
                    " that are in force there, and change them once they have changed"
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
        await self._connection.delete(queue=self._old.resizing)
        await ensure_topology(self._connection, self._new)

    async def _in_force(self, topology: Topology) -> bool:
        """Whether what is declared has these numbers of partitions."""
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
        """Wait until nothing waits and nobody consumes. Cancelled, it opens the way again."""
        try:
            while True:
                # Each time: a role that connects binds the queues again.
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
                await ensure_topology(self._connection, self._old)
            raise

    async def _close(self) -> None:
        if self._inbound_changes:
            await self._connection.unbind(self._old.inbound_queues())

    async def _in_the_way(self) -> str:
        """Return what must happen before anything may change; empty if nothing must."""
        problem = await self._busy(
            "worker", self._old.inbound_queues(), must_be_empty=self._inbound_changes
        )
        if problem or self._old.reply_partitions == self._new.reply_partitions:
            return problem
        # No worker runs, so no reply comes to these any more.
        replies = [queue for flow in self._old.flows()[1:] for queue in flow]
        return await self._busy("deliver", replies, must_be_empty=True)

    async def _busy(self, role: str, queues: Sequence[Queue], *, must_be_empty: bool) -> str:
        depths = (await self._connection.depths(q.name for q in queues)).values()
        waiting = sum(depth.ready for depth in depths)
        consumed = sum(depth.consumers > 0 for depth in depths)
        if must_be_empty and waiting:
            runs = f"{role} works on them" if consumed else f"start a {role} as it was until now"
            return f"{waiting} messages wait: {runs}"
        if consumed:
            return f"stop every {role} that has nothing left to do: it consumes {consumed} queues"
        return ""

    async def _change(self, before: Sequence[Queue], after: Sequence[Queue]) -> None:
        await self._connection.unbind(list(before))
        exchange = after[0].exchange
        await self._connection.declare((exchange,), list(after), passive=False)
        for queue in before[len(after) :]:
            await self._connection.delete(queue=queue.name)

    async def _exists(self, queue: str) -> bool:
        return await self._connection.ready_messages(queue) is not None
