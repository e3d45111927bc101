"""The simulator finds bugs: each one that is planted, within so many schedules."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.simulation import (
    planted,
    planted_fairness,
    planted_more,
    planted_pacing,
    planted_returns,
    planted_turns,
    planted_waits,
)
from tests.simulation.invariants import ALL
from tests.simulation.plan import plan
from tests.simulation.planted import Planted
from tests.simulation.world import World

BUGS = [
    *planted.BUGS,
    *planted_turns.BUGS,
    *planted_fairness.BUGS,
    *planted_pacing.BUGS,
    *planted_returns.BUGS,
    *planted_more.BUGS,
    *planted_waits.BUGS,
]
MOST = 1_000
"""Schedules within which a bug must be found. Most need fewer than ten; the rarest shows in one of
a hundred or two, so that 400 of them may happen not to show it."""
SEEDS = 100_000
"""Seeds among which there are so many schedules in which it can show."""


def test_a_bug_is_planted_for_each_invariant() -> None:
    assert {bug.invariant for bug in BUGS} == set(ALL)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.what}: not '{bug.invariant}'")
def test_a_planted_bug_is_found(bug: Planted) -> None:
    seeds = (seed for seed in range(SEEDS) if bug.needs(plan(seed)))
    with bug.in_place():
        for seed in islice(seeds, MOST):
            violated = World(plan(seed)).run()
            if violated and violated.invariant == bug.invariant:
                return
    pytest.fail(f"not found in {MOST} schedules: {bug.what}")
