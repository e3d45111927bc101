"""One fault at every step of a worker's life: start, turns, settling, and the way out."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from bridge.messages import HIGH, Delivery
from bridge.processing.takeover import Takeovers
from tests.simulation.network import HEARTBEAT, Faults
from tests.simulation.plan import Fault, Kind, Plan, Script
from tests.simulation.world import World

STEPS = 220
"""Callbacks that a worker runs in this schedule without a fault, and some more."""
EVERY = 4
"""Steps between two tries; the offset differs by kind. With 1, all steps are tried."""
NOTICED = 2.5 * HEARTBEAT
"""Seconds after which a silent connection is lost."""

KINDS: tuple[Kind, ...] = ("ok", "ok", "rejects")
QUIET = Plan(
    workers=2,
    partitions=2,
    scripts=tuple(
        Script(f"c{conversation}", number, kind, (0.05,), clean_up=0.5, replies=1)
        for conversation, kind in enumerate(KINDS)
        for number in range(3)
    ),
    frames=Faults(notices=183.0),
    within=NOTICED + 15,
)


@pytest.mark.parametrize("kind", ["kill", "stop", "cancel", "cut", "channel", "silence"])
def test_a_fault_at_every_await_breaks_no_invariant(kind: str) -> None:
    chance = Random(kind)
    for steps in range(chance.randrange(EVERY), STEPS, EVERY):
        fault = Fault(0.0, kind, chance.randrange(12), steps, 0.3)
        found = World(replace(QUIET, seed=steps, faults=(fault,))).run()
        assert found is None, f"{fault}: {found}"


OVERFLOW = Plan(
    workers=2,
    prefetch=4,
    scripts=tuple(Script("c0", n, "ok", (0.05 if n else 0.4,)) for n in range(8)),
    frames=Faults(latency=0.05),
    within=NOTICED + 15,
)
"""A conversation that overflows within the first seconds, and is worked off again."""


@pytest.mark.parametrize("kind", ["channel", "kill"])
def test_a_fault_at_any_moment_of_an_overflow_breaks_no_invariant(kind: str) -> None:
    """Seed 166: the index was deleted before the oldest message was acked, which then ran again."""
    for number in range(60):
        fault = Fault(0.5 + number * 0.04, kind, number % 2, 0, 0.3)
        found = World(replace(OVERFLOW, seed=number, faults=(fault,))).run()
        assert found is None, f"{fault}: {found}"


def test_a_broker_that_is_killed_while_a_lane_begins_to_overflow_breaks_no_invariant() -> None:
    for number in range(80):
        fault = Fault(0.3 + number * 0.02, "restart", 0, number % 7, 0.3)
        found = World(replace(OVERFLOW, seed=number, faults=(fault,))).run()
        assert found is None, f"{fault}: {found}"


WITH_URGENT = replace(
    OVERFLOW,
    scripts=(
        *(Script("c0", n, "ok", (0.05 if n else 0.4,)) for n in range(12)),
        Script("c0", 12, gap=0.7, priority=HIGH),
        *(Script("c0", n, "fails", times=3, gap=0.3, priority=HIGH) for n in (13, 14)),
        *(Script("c1", n, gap=0.5) for n in range(8)),
    ),
    within=300,
)
"""The same, with urgent messages that go before those that overflowed, and fail three times."""


@pytest.mark.parametrize("kind", ["channel", "kill", "stop"])
def test_a_fault_at_any_moment_of_urgent_retries_beside_an_overflow_breaks_no_invariant(
    kind: str,
) -> None:
    for number in range(40):
        fault = Fault(0.5 + number * 0.07, kind, number % 2, 0, 0.3)
        found = World(replace(WITH_URGENT, seed=number, faults=(fault,))).run()
        assert found is None, f"{fault}: {found}"


LEFT = Plan(
    workers=2,
    prefetch=4,
    concurrency=4,
    scripts=(
        *(Script("c0", n, "ok", (0.6,), priority="high") for n in range(8)),
        Script("c0", 8, "ok", (0.1,), gap=0.2),
        *(Script("c1", n, "ok", (0.05,), gap=0.3, priority="high") for n in range(9, 21)),
    ),
    frames=Faults(latency=0.05),
    within=100,
)
"""An urgent lane overflows, and the lock of its partition is a message in it."""


def test_a_lane_with_its_lock_is_left_to_another_process() -> None:
    """Seed 2003381: the urgent message and its lock each waited for the return of the other."""
    for number in range(7, 45, 2):
        fault = Fault(0.2 + number * 0.05, "kill", 1, 0, 0.1)
        found = World(replace(LEFT, seed=number, faults=(fault,))).run()
        assert found is None, f"{fault}: {found}"


def test_leaving_an_overflow_without_need_breaks_no_invariant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lanes are left although no process waits for them, also by an urgent message that failed."""
    chance = Random("needless")

    async def waits(_: Takeovers, delivery: Delivery) -> bool:
        return delivery.delivery_count < 3 and chance.random() < 0.2

    monkeypatch.setattr(Takeovers, "waits", waits)
    for number in range(40):
        found = World(replace(WITH_URGENT, seed=number, workers=1 + number % 2)).run()
        assert found is None, f"{number}: {found}"
