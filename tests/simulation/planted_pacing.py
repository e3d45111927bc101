"""Bugs that are planted into leases, see `planted`."""

from __future__ import annotations

import math

from bridge.delivery.leases import Lease, Leases
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


def _hands_over(plan: Plan) -> bool:
    return _leases(plan) and any(fault.kind in ("handover", "unlink") for fault in plan.faults)


BUGS = [
    Planted(
        PACED,
        "a new pacer does not know what is leased",
        Leases,
        "suppose_all",
        lambda self, time: self._leases.clear(),
        _hands_over,
    ),
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
