"""Bugs that are planted into rate limits, see `planted`."""

from __future__ import annotations

import math

from bridge.delivery.leases import Lease
from bridge.delivery.pacer import Pacer
from bridge.runtime import work
from tests.simulation.ledger import PACED, RETURNED
from tests.simulation.plan import Plan
from tests.simulation.planted import Planted

_granted = Lease.granted


def _for_ever(self: Lease, rate: float, burst: int, sent: float, time: float) -> None:
    _granted(self, rate, burst, sent, time)
    if rate > 0:
        self._until = math.inf


def _leases(plan: Plan) -> bool:
    return plan.pace is not None and plan.pace.total.burst == 4


def _is_recalled(plan: Plan) -> bool:
    return any(fault.kind == "recall" for fault in plan.faults)


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
    Planted(
        RETURNED,
        "a call is made although its reply was returned meanwhile",
        work,
        "is_current",
        lambda: True,
        _is_recalled,
    ),
]
