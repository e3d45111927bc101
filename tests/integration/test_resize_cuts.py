"""`topology resize` can be interrupted anywhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bridge.broker import resize
from bridge.broker.connection import Connection, connect
from bridge.broker.declare import check_topology, ensure_topology
from bridge.broker.resize import Resize
from bridge.broker.topology import Queue, Topology
from bridge.errors import BrokerUnavailable, TopologyError
from tests.support.broker import Broker

AT_ONCE = 6
"""Resizes at a time: each of them mostly waits for the broker."""


class Cut(Connection):
    """A connection that is lost before its n-th change."""

    def __init__(self, connection: Connection, changes: int) -> None:
        self._connection = connection._connection
        self._tap = connection._tap
        self.health = connection.health
        self.made = 0
        self._changes = changes

    def _count(self) -> None:
        if self.made == self._changes:
            raise BrokerUnavailable("cut")
        self.made += 1

    async def declare(
        self, exchanges: tuple[str, ...], queues: list[Queue], *, passive: bool
    ) -> None:
        for queue in queues:
            self._count()
            await super().declare(exchanges, [queue], passive=passive)

    async def unbind(self, queues: list[Queue]) -> None:
        for queue in queues:
            self._count()
            await super().unbind([queue])

    async def delete(self, *, queue: str | None = None, exchange: str | None = None) -> None:
        self._count()
        await super().delete(queue=queue, exchange=exchange)


@pytest.mark.parametrize(("before", "after"), [((1, 2), (2, 1)), ((2, 1), (1, 2))])
async def test_interrupted_at_any_step_no_role_mixes_numbers_and_it_can_be_run_again(
    broker: Broker,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[int, int],
    after: tuple[int, int],
) -> None:
    monkeypatch.setattr(resize, "SETTLE", 0)
    # They do not change, and creating them would take almost half the time.
    monkeypatch.setattr(Topology, "reminder_queues", lambda self: [])
    at_once = asyncio.Semaphore(AT_ONCE)

    async def changes(limit: int) -> int:
        """Resize a new topology, interrupted after so many changes; return how many it made."""
        old = Topology(f"{namespace}{limit}", *before, ["callback"])
        new = replace(old, inbound_partitions=after[0], reply_partitions=after[1])
        async with at_once, connect(broker.url, "test") as connection:
            await ensure_topology(connection, old)
            cut = Cut(connection, limit)
            try:
                await Resize(cut, old, new, print).run()
            except BrokerUnavailable:
                admitted = [t for t in (old, new) if await is_admitted(connection, t)]
                assert admitted in ([], [old], [new])
            await Resize(connection, old, new, print).run()
            await check_topology(connection, new)
            assert not await is_admitted(connection, old)
        return cut.made

    everything = await changes(1000)
    assert everything > 12
    made = await asyncio.gather(*map(changes, range(everything)))
    assert made == [*range(everything)], "each of them was interrupted"


async def is_admitted(connection: Connection, topology: Topology) -> bool:
    try:
        await ensure_topology(connection, topology)
    except TopologyError:
        return False
    return True
