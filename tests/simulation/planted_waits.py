"""Bugs that are planted into what waits for something else, or is waited for, see `planted`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from bridge.messages import NORMAL, Priority
from bridge.processing.admission import Held, Slots
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.lanes import Lanes
from tests.simulation.ledger import DRAINED, FAIR, FIRST
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted


async def _at_once(self: Lanes[Any], grace: float) -> bool:
    self.draining.set()
    return True


def _as_healthy(self: Slots, lane: Hashable, priority: Priority = NORMAL) -> Held:
    return Held(self, lane, priority)


def _asks(plan: Plan) -> bool:
    return plan.urgent_within > 0


def _stops(plan: Plan) -> bool:
    return any(fault.kind == "stop" for fault in plan.faults)


def _fails_slowly(plan: Plan) -> bool:
    return any(script.conversation == "failing0" for script in plan.scripts)


BUGS = [
    Planted(DRAINED, "a drain waits for nothing", Lanes, "drain", _at_once, _stops),
    Planted(
        FIRST,
        "a process that is asked for a partition keeps what waits",
        ProcessorGeneration,
        "hand_over",
        lambda *_: None,
        _asks,
    ),
    Planted(FAIR, "failing lanes take all slots", Slots, "hold", _as_healthy, _fails_slowly),
]
