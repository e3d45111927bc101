"""How unit tests run: no broker, no network; hypothesis without a deadline on a shared machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit",
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unit")

PATIENCE = 60
"""Seconds. Nothing here waits for anything but itself: a test that takes so long hangs."""


@pytest.fixture(autouse=True)
def _a_test_that_hangs_fails() -> Iterator[None]:
    def hangs(*_: object) -> None:
        raise AssertionError(f"hangs: not done after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, hangs)
    # Again every second: hypothesis runs what failed again.
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
