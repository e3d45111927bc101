"""One pass over a dead-letter queue: what is kept, removed and requeued, and in which order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from bridge.broker.connection import connect
from bridge.dead_letters import reading as passes
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.queue import scan
from bridge.dead_letters.reading import reading
from bridge.errors import BrokerUnavailable
from bridge.messages import (
    INBOUND,
    Delivery,
)
from tests.support.dead_letters import Dead, talk
from tests.support.fakes import an_inbound


async def test_a_pass_with_many_small_consumers_keeps_the_order(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept messages fill one consumer after another; with more than 32, order would be lost."""
    monkeypatch.setattr(passes, "PREFETCH", 1)
    for n in range(200):
        await dead.put(an_inbound(f"e{n}"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    seen = []
    async with reading(url, queue, 200) as messages:
        async for delivery in messages:
            number = int((delivery.message_id or "")[1:])
            seen.append(number)
            if number % 10 == 0:
                await messages.remove(delivery)
            else:
                messages.keep()
    assert seen == list(range(200))
    assert await dead.ids() == [f"e{n}" for n in range(200) if n % 10]


async def test_a_pass_ends_when_another_reader_has_taken_the_rest(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "IDLE", 0.2)
    await dead.put_all(talk(1, 3))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    async with reading(url, queue, 5) as messages:
        async for _ in messages:
            messages.keep()
    assert messages.unseen == 2
    assert len(await dead.ids()) == 3


async def test_a_pass_waits_until_every_message_is_kept_or_removed(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise messages in flight would be requeued, and replayed twice."""
    monkeypatch.setattr(passes, "IDLE", 0.05)
    await dead.put(an_inbound("e1"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    decided = False

    async def decide(delivery: Delivery) -> None:
        nonlocal decided
        await asyncio.sleep(0.3)
        decided = True
        await messages.remove(delivery)

    async with reading(url, queue, 2) as messages:
        async for delivery in messages:
            task = asyncio.create_task(decide(delivery))
        assert decided
    await task
    assert await dead.ids() == []


async def test_a_queue_deleted_during_a_pass_is_an_error(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "IDLE", 0.2)
    await dead.put(an_inbound("e1"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"

    async def read() -> None:
        async with reading(url, queue, 2) as messages:
            async for _ in messages:
                messages.keep()
                async with connect(url, "test") as connection:
                    await connection.delete(queue=queue)

    with pytest.raises(BrokerUnavailable, match="was its queue deleted"):
        await read()


async def test_a_scan_that_stops_early_has_requeued_everything_when_it_ends(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next command would see fewer."""
    monkeypatch.setattr(passes, "PREFETCH", 50)
    await dead.put_all(talk(50, 30))
    url, among = dead.project.broker_url, {INBOUND: 1500}
    queue = f"{dead.topology.dead_exchange}.inbound"
    async with connect(url, "test") as connection:
        for _ in range(10):
            async with aclosing(scan(url, dead.topology, Filter(), among)) as found:
                number = 0
                async for _found in found:
                    number += 1
                    if number == 1000:
                        break
            assert await connection.ready_messages(queue) == 1500
