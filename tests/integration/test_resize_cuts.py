"""`topology resize` can be interrupted anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.broker import resize
from bridge.broker.connection import Connection, connect
from bridge.broker.declare import check_topology, ensure_topology
from bridge.broker.resize import Resize
from bridge.broker.topology import Queue, Topology
from bridge.errors import BrokerUnavailable, TopologyError
from tests.support.broker import Broker


class Cut(Connection):
    """A connection that is lost before its n-th change."""

    def __init__(self, connection: Connection, changes: int) -> None:
        self._connection = connection._connection
        self.health = connection.health
        self._changes = changes

    def _count(self) -> None:
        self._changes -= 1
        if self._changes < 0:
            raise BrokerUnavailable("cut")

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
    changes, is_done = 0, False
    while not is_done:
        old = Topology(f"{namespace}{changes}", *before, ["callback"])
        new = replace(old, inbound_partitions=after[0], reply_partitions=after[1])
        async with connect(broker.url, "test") as connection:
            await ensure_topology(connection, old)
            try:
                await Resize(Cut(connection, changes), old, new, print).run()
                is_done = True
            except BrokerUnavailable:
                admitted = [t for t in (old, new) if await is_admitted(connection, t)]
                assert admitted in ([], [old], [new])
            await Resize(connection, old, new, print).run()
            await check_topology(connection, new)
            assert not await is_admitted(connection, old)
        changes += 1
    assert changes > 12


async def is_admitted(connection: Connection, topology: Topology) -> bool:
    try:
        await ensure_topology(connection, topology)
    except TopologyError:
        return False
    return True
