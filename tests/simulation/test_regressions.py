"""Schedules that once showed a bug in the core. Plans instead of seeds: those change their meaning
with `plan.py`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulation.plan import Fault, Plan
from tests.simulation.test_every_await import QUIET
from tests.simulation.world import World

SILENT_SET_UP = replace(QUIET, seed=10, faults=(Fault(0.0, "silence", 3, 10, 0.3),))
"""Seed 502 of the first generator, shortened. The network went silent while a consumer was being
set up; only the library noticed, after up to three minutes."""


@pytest.mark.parametrize("plan", [SILENT_SET_UP], ids=["silent set-up"])
def test_a_bug_that_was_found_does_not_return(plan: Plan) -> None:
    assert World(plan).run() is None
