"""What the checks allow, exactly: schedules that hold, and do not where nothing is allowed."""

from __future__ import annotations

import pytest

from bridge.connectors.limits import RateLimit
from bridge.messages import HIGH
from tests.simulation import precedence
from tests.simulation.calls import Calls
from tests.simulation.ledger import FIRST, INNOCENT_
from tests.simulation.loop import Universe
from tests.simulation.network import Faults
from tests.simulation.plan import Fault, Pace, Plan, Script
from tests.simulation.world import World

ON_ITS_WAY_BACK = Plan(
    seed=500047441,
    workers=3,
    prefetch=1,
    concurrency=4,
    throttled=True,
    scripts=(
        Script("c0", 0, replies=2, priority=HIGH),
        Script("c1", 0),
        Script("c1", 1, priority=HIGH),
        Script("c1", 2),
    ),
    faults=(Fault(0.0, "stop", 3, 33, 0.3024214418407356),),
    frames=Faults(latency=0.002, stall=0.09561626552114595, notices=183.0),
)
"""Seed 500047441, shortened. An urgent message was on its way back to its queue, because the lock
did not come. Then it came, with messages that are less urgent."""

KILLED_AT_ITS_END = Plan(
    seed=610000135,
    prefetch=2,
    concurrency=2,
    throttled=True,
    scripts=(
        Script("s0", 0, pieces=(9.903650009203254,), clean_up=0.8769524293705658),
        Script("c0", 0, "kills", times=12),
        *(Script("c0", number) for number in (2, 3, 4)),
    ),
    faults=(
        Fault(5.716538401106483, "kill", 4, 3, 8.16507219268562),
        Fault(6.485453265585414, "kill", 5, 10, 0.4242798337818324),
        Fault(5.153040038580615, "cut", 2, 41, 0.2),
    ),
    frames=Faults(latency=0.002, notices=33.0),
)
"""Seed 610000135, shortened. An attempt was cut off and had ended, but that was not recorded yet
when its process was killed."""


def test_a_message_on_its_way_back_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert World(ON_ITS_WAY_BACK).run() is None
    monkeypatch.setattr(precedence, "HELD_UP", -1.0)
    violated = World(ON_ITS_WAY_BACK).run()
    assert violated is not None
    assert violated.invariant == FIRST


def test_a_kill_before_the_end_of_an_attempt_is_recorded_is_excused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert World(KILLED_AT_ITS_END).run() is None
    monkeypatch.setattr(World, "_records", lambda *_: False)
    violated = World(KILLED_AT_ITS_END).run()
    assert violated is not None
    assert violated.invariant == INNOCENT_


@pytest.mark.parametrize(
    ("alone", "calls", "is_wrong"), [(0, 2, True), (2, 2, False), (2, 3, True)]
)
def test_in_an_alarm_each_process_may_make_one_call_at_the_same_time(
    alone: int, calls: int, is_wrong: bool
) -> None:
    universe, wrong = Universe(1), []  # type: ignore[var-annotated]
    counted = Calls(Pace(RateLimit(0.5)), universe, 1, wrong.append, lambda seconds: alone)
    for _ in range(calls):
        counted._arrives(None, "ada", 0.0)
    assert bool(wrong) == is_wrong
