"""A pass that removes dead letters holds them on several channels, and returns the rest in order.

RabbitMQ walks through the unacked messages of a channel for each ack: on one channel, a replay of
100,000 dead letters in another order than that of their queue would take minutes.
"""

from __future__ import annotations

import random

import pytest

from bridge.broker.connection import connect
from bridge.dead_letters import reading as passes
from bridge.dead_letters.reading import Reading, reading
from bridge.messages import Delivery
from tests.support.dead_letters import Dead
from tests.support.fakes import an_inbound

LETTERS = 200


async def numbers_of(messages: Reading) -> list[Delivery]:
    """Read all messages, and hold them."""
    found = []
    async for delivery in messages:
        found.append(delivery)
        messages.keep()
    await messages.hold()
    return found


@pytest.mark.parametrize("removed", [0, 1, LETTERS // 2, LETTERS])
async def test_what_is_not_removed_returns_in_order(
    dead: Dead, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    monkeypatch.setattr(passes, "PREFETCH", 10)
    for n in range(LETTERS):
        await dead.put(an_inbound(f"e{n:03}"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    order = random.Random(removed)
    left = [f"e{n:03}" for n in range(LETTERS)]
    async with reading(url, queue, LETTERS, removes=True) as messages:
        found = await numbers_of(messages)
        assert [delivery.message_id for delivery in found] == left
        for delivery in order.sample(found, removed):
            await messages.settle(delivery.ack)
            left.remove(delivery.message_id or "")
    async with connect(url, "test") as connection:
        assert await connection.ready_messages(queue) == len(left)
    assert await dead.ids() == left


async def test_a_long_pass_that_removes_has_a_channel_for_each_consumer(
    dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that only looks has a single one, so a killed look changes nothing, either."""
    monkeypatch.setattr(passes, "PREFETCH", 1)
    for n in range(64):
        await dead.put(an_inbound(f"e{n}"))
    url, queue = dead.project.broker_url, f"{dead.topology.dead_exchange}.inbound"
    for removes, channels in ((True, 32), (False, 1)):
        async with reading(url, queue, 64, removes=removes) as messages:
            await numbers_of(messages)
            assert len(messages.holders) == channels
