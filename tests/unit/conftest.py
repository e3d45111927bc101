"""Unit tests: no broker, no network, and no Hypothesis deadline, because machines are shared."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit",
    deadline=None,
    # The other environment makes as many again.
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("unit")

PATIENCE = 60
"""Seconds. Unit tests wait for nothing external: one that takes this long hangs."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Fail a test that hangs. During its call only: interrupted elsewhere, pytest itself ends."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"the test hangs: not finished after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, hangs)
    # And every second after that: Hypothesis reruns a failed example.
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
