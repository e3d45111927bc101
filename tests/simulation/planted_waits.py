"""Bugs that are planted into what waits for something else, or is waited for, see `planted`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from bridge.messages import NORMAL, Priority
from bridge.processing import turns
from bridge.processing.admission import Held, Slots
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.lanes import Lanes
from bridge.processing.spilling import Spilled, Spilling
from tests.simulation.ledger import DRAINED, FAIR, FIRST, GATHERED, ORDER
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted

_copy = Spilling._copy


async def _at_once(self: Lanes[Any], grace: float) -> bool:
    self.draining.set()
    return True


def _as_healthy(self: Slots, lane: Hashable, priority: Priority = NORMAL) -> Held:
    return Held(self, lane, priority)


def _on_any_channel(self: Spilling[Any], spilled: Spilled[Any]) -> None:
    """Publish copies on the channel that publishes now, although others are on their way."""
    spilled.via = self._processor.queues.sequence
    _copy(self, spilled)


def _head_only(items: Any, joins: Any) -> turns.Group:
    return turns.Group([next(iter(items))[1]], is_closed=True)


def _loses_copies(plan: Plan) -> bool:
    return len(plan.scripts) == 40 and plan.frames.lost_publish > 0.1


def _is_gathered(plan: Plan) -> bool:
    return plan.is_gathered


def _asks(plan: Plan) -> bool:
    return plan.urgent_within > 0


def _stops(plan: Plan) -> bool:
    return any(fault.kind == "stop" for fault in plan.faults)


def _fails_slowly(plan: Plan) -> bool:
    return any(script.conversation == "failing0" for script in plan.scripts)


BUGS = [
    Planted(GATHERED, "no message joins a turn", turns, "group", _head_only, _is_gathered),
    Planted(GATHERED, "nothing is superseded", turns, "successor", lambda *_: None, _is_gathered),
    Planted(
        ORDER, "copies change their channel", Spilling, "_copy", _on_any_channel, _loses_copies
    ),
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
