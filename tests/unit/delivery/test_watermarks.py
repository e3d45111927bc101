"""A watermark is joined to each call of its conversation up to a moment; Messenger sends them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridge.delivery import join as joining, receipts as working
from bridge.messages.receipts import Outcome, Receipt
from tests.unit.delivery.receipt_world import World
from tests.unit.delivery.test_receipts import a_call, outcomes, told, until

NOW = 1_790_000_000.0


def mark(n: int | str, outcome: Outcome, at: float) -> Receipt:
    """Return a watermark of the conversation of `a_call(n)`."""
    return Receipt("", outcome, NOW + at, conversation=f"u{n}", until=NOW + at)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World(watermarks=True, keep=1e12)
    world.start()
    yield world
    await world.kill()


async def test_it_covers_the_calls_of_its_conversation_up_to_its_moment(world: World) -> None:
    for n, id, at in ((0, "m1", 1.0), (0, "m2", 2.0), (0, "m3", 3.0), (1, "x1", 1.0)):
        await world.sent(a_call(n), id, at=NOW + at)
    before = outcomes("delivered")
    await world.receive(mark(0, "delivered", 2.5))
    await until(lambda: len(world.reported()) == 2)
    assert world.reported() == [("delivered", id, "e0:0") for id in ("m1", "m2")]
    assert outcomes("delivered") == before + 2
    await world.receive(mark(0, "read", 3.5), mark(0, "delivered", 3.5))
    await until(lambda: len(world.reported()) == 5)
    assert world.reported()[2:] == [("read", id, "e0:0") for id in ("m1", "m2", "m3")]
    assert len(world.join) == 1, "the other conversation's call is not decided"


async def test_a_call_that_is_named_as_well_is_reported_once(world: World) -> None:
    await world.sent(a_call(), "m1", at=NOW)
    await world.receive(told("m1", "delivered"), mark(0, "delivered", 1.0))
    await world.receive(mark(0, "delivered", 1.0), mark(0, "delivered", 0.5))
    await world.receive(mark(0, "read", 1.0), told("m1", "read"))
    await until(lambda: len(world.reported()) == 2)
    assert world.reported() == [("delivered", "m1", "e0:0"), ("read", "m1", "e0:0")]


async def test_it_waits_for_the_notes_of_calls_that_it_covers(world: World) -> None:
    await world.receive(mark(0, "delivered", 1.0), mark(0, "read", 2.0))
    await until(lambda: len(world.join._watermarks) == 2)
    await world.sent(a_call(), "m1", at=NOW)
    await world.sent(a_call(), "m2", at=NOW + 1.5)
    await world.sent(a_call(), "m3", at=NOW + 3.0)
    await until(lambda: len(world.reported()) == 3)
    assert sorted(world.reported()) == [
        ("delivered", "m1", "e0:0"),
        ("read", "m1", "e0:0"),
        ("read", "m2", "e0:0"),
    ]


async def test_one_that_covers_nothing_is_forgotten_without_a_report(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcomes("unmatched")
    await world.receive(mark(0, "read", 1.0))
    await until(lambda: len(world.join._watermarks) == 1)
    monkeypatch.setattr(joining, "EARLY_FOR", 0.0)
    await world.receive(mark(1, "read", 1.0))  # any delivery looks at what is overdue
    await until(lambda: not world.unacked)
    assert (world.reports, outcomes("unmatched")) == ([], before)


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    for name in ("MOST_NOTES", "MOST_EARLY", "MOST_FINAL"):
        monkeypatch.setattr(joining, name, 10)
    for n in range(30):
        await world.sent(a_call(n), f"m{n}", at=NOW)
        await world.receive(mark(n, "delivered", 1.0), mark(-n - 1, "delivered", 1.0))
    await until(lambda: len(world.reported()) == 30)
    await until(lambda: len(world.join._watermarks) == 10)
    for n in range(20):
        await world.sent(a_call(f"open{n}"), f"open{n}", at=NOW)
    await until(lambda: len(world.join) == 10)
    assert world.join._sent is not None
    assert len(world.join._sent._ids) == 20, "ten calls are open, and ten are delivered"


async def test_no_call_is_lost_between_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes and watermarks come in any order, and the consumer is killed at random moments."""
    monkeypatch.setattr(working, "MOST_HELD", 20)
    chance = random.Random(7)
    world = World(watermarks=True, keep=1e12)
    world.start()
    for n in range(300):
        person = n % 20
        steps = [
            world.sent(a_call(person), f"m{n}", at=NOW + n),
            world.receive(mark(person, chance.choice(["delivered", "read"]), n + 0.5)),
        ]
        chance.shuffle(steps)
        for step in steps:
            await step
        if chance.random() < 0.05:
            await world.kill()
            world.start()
    await until(lambda: len(world.join) == 0)
    await until(lambda: {id for _, id, _ in world.reported()} == {f"m{n}" for n in range(300)})
    await until(lambda: len(world.unacked) <= 40)
    await world.kill()
