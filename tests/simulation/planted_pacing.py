"""Bugs that are planted into leases, see `planted`."""

from __future__ import annotations

import math

from bridge.delivery.leases import Lease
from bridge.delivery.pacer import Pacer
from tests.simulation.ledger import PACED
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted

_granted = Lease.granted


def _for_ever(self: Lease, rate: float, burst: int, sent: float, time: float) -> None:
    _granted(self, rate, burst, sent, time)
    if rate > 0:
        self._until = math.inf


def _leases(plan: Plan) -> bool:
    return plan.pace is not None and plan.pace.total.burst == 4


BUGS = [
    Planted(
        PACED,
        "what is leased is promised, too",
        Pacer,
        "_promise_the_rest",
        lambda *_: None,
        _leases,
    ),
    Planted(PACED, "a lease never ends", Lease, "granted", _for_ever, _leases),
]
