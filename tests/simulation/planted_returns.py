"""Bugs that are planted into what returns to its queue, see `planted`."""

from __future__ import annotations

from bridge.processing.returns import Returns
from tests.simulation.ledger import ORDER
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted


def _awaits(plan: Plan) -> bool:
    """Urgent messages wait for a turn of another process, and more arrive meanwhile."""
    return plan.flow == "inbound" and plan.prefetch == 64


BUGS = [
    Planted(
        ORDER,
        "nothing returns behind one of its lane that was returned",
        Returns,
        "is_overtaking",
        lambda *_: False,
        _awaits,
    ),
]
