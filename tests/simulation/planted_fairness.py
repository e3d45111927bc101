"""Bugs that are planted into priorities, overflow and retries, see `planted`."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Any

from bridge.processing import verdict
from bridge.processing.admission import Slots
from bridge.processing.budget import RetryBudgets
from bridge.processing.lanes import Lane
from bridge.processing.spilling import Spilled, Spilling
from bridge.processing.windows import Windows
from bridge.runtime.retry import RetryPolicy
from tests.simulation.ledger import ENDS, FAIR, FIRST, INNOCENT_, ORDER
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted, _is_urgent, _overflows

_spill = Spilling.spill


def _least_urgent_first(self: Lane[Any]) -> Any:
    self.rank = max(rank for rank, items in self._waiting.items() if items)
    self.since, self.head = None, self.items.popleft()
    return self.head


def _as_if_settled(self: Spilling[Any], spilled: Spilled[Any]) -> None:
    """Take the oldest message for one whose end is noted on the broker."""
    _spill(self, spilled)
    spilled.is_settled = True


def _of_any_lane(self: RetryBudgets, lane: Hashable) -> float:
    return max((spent.seconds for spent in self.used.values()), default=0.0)


def _keeps_urgent(self: Slots, slot: Any) -> None:
    if slot.name == "SHARED":
        self._free += 1
        self._hand_out()


def _is_failing(plan: Plan) -> bool:
    return plan.fair_within > 0


def _fails(plan: Plan) -> bool:
    return any(script.kind.startswith("fails") for script in plan.scripts)


def _overflows_beside_urgent(plan: Plan) -> bool:
    long = {script.priority for script in plan.scripts if script.conversation == "long"}
    return plan.prefetch in (2, 4) and len(long) > 1 and not plan.policies


def _fails_twice(plan: Plan) -> bool:
    """Two conversations use their retry time up."""
    failing = (script for script in plan.scripts if script.kind == "fails for ever")
    return len({script.conversation for script in failing}) > 1


def _hangs(plan: Plan) -> bool:
    return any(script.kind == "hangs" for script in plan.scripts)


BUGS = [
    Planted(
        FIRST,
        "a lane runs its least urgent message first",
        Lane,
        "next",
        _least_urgent_first,
        _is_urgent,
    ),
    Planted(
        FIRST,
        "an urgent message waits for all that overflowed",
        Lane,
        "urgent",
        property(lambda _: deque()),
        _overflows_beside_urgent,
    ),
    Planted(FAIR, "no lane is moved", Windows, "_make_room", lambda _: None, _is_failing),
    Planted(
        ORDER,
        "the end of an anchor is not noted",
        Spilling,
        "spill",
        _as_if_settled,
        _overflows,
    ),
    Planted(
        INNOCENT_,
        "a message is given up after one failure",
        RetryPolicy,
        "delay",
        lambda *_, **__: None,
        _fails,
    ),
    Planted(
        INNOCENT_,
        "the failures of all lanes are counted together",
        RetryBudgets,
        "spent",
        _of_any_lane,
        _fails_twice,
    ),
    Planted(
        INNOCENT_,
        "one attempt that takes too long is too many",
        verdict,
        "CONVICTED_AFTER",
        1,
        _hangs,
    ),
    Planted(ENDS, "an urgent slot is not given back", Slots, "release", _keeps_urgent, _is_urgent),
]
