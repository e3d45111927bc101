"""An innocent message is dead-lettered in one case only: its process is killed while it runs alone.

See docs/explanation/poison-messages.md ("What a process cannot tell").
"""

from __future__ import annotations

import pytest

from bridge.processing.admission import Slots
from tests.simulation.ledger import INNOCENT_
from tests.simulation.plan import Fault, Plan, Script
from tests.simulation.planted import _with_others
from tests.simulation.world import World


def killed(times: int, *scripts: Script) -> World:
    """Return a schedule in which the only worker is killed so often, from outside."""
    faults = tuple(Fault(0.6 + 2.0 * number, "kill", 0, 0, 0.0) for number in range(times))
    return World(Plan(1, workers=1, concurrency=16, scripts=scripts, faults=faults))


LONG = Script("c0", 0, pieces=(9.0,))


def test_a_message_that_runs_while_its_process_is_killed_five_times_is_handled() -> None:
    world = killed(5, LONG)
    assert world.run() is None
    assert world.ledger.handled == {LONG.id}
    assert not world.ledger.dead


def test_a_message_that_runs_while_its_process_is_killed_six_times_is_excused() -> None:
    world = killed(6, LONG)
    assert world.run() is None
    assert world.ledger.dead == {LONG.id: "poison"}


def test_it_is_not_excused_if_another_message_ran_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Slots, "hold_all", _with_others)
    violated = killed(6, LONG, Script("c1", 0, pieces=(9.0,))).run()
    assert violated is not None
    assert violated.invariant == INNOCENT_


def test_it_is_not_excused_if_no_fault_killed_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(World, "_kill", lambda world, node, fault: node.process.kill())
    violated = killed(6, LONG).run()
    assert violated is not None
    assert violated.invariant == INNOCENT_
