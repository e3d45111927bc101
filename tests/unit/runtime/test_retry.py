"""Retries: the bounds of the delays, and when retrying stops."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bridge.runtime.retry import RetryPolicy, backoff

seconds = st.floats(0, 1e6)
policies = st.builds(
    RetryPolicy,
    base=st.floats(0, 100),
    cap=st.floats(0, 1000),
    max_attempts=st.integers(1, 100),
    max_age=seconds,
)
attempts = st.integers(1, 10_000)
waits = st.none() | seconds


@given(st.integers(1, 100_000), st.floats(0, 1e3), st.floats(0, 1e3))
def test_a_back_off_stays_within_its_bounds(failures: int, base: float, cap: float) -> None:
    assert 0 <= backoff(failures, base, cap) <= cap
    if failures < 30:
        assert backoff(failures, base, cap) <= base * 2 ** (failures - 1)


def test_the_ceiling_doubles_until_the_cap() -> None:
    def highest(low: float, high: float) -> float:
        assert low == 0
        return high

    assert [backoff(n, 0.5, 3.0, highest) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_jitter_is_full() -> None:
    """Every delay from 0 to the ceiling is possible, so that simultaneous retries spread out."""
    delays = [backoff(1, base=1.0, cap=1.0) for _ in range(1000)]
    assert min(delays) < 0.1
    assert max(delays) > 0.9


@given(policies, attempts, seconds, waits)
def test_a_delay_is_never_negative(
    policy: RetryPolicy, attempt: int, age: float, retry_after: float | None
) -> None:
    delay = policy.delay(attempt, age, retry_after)
    assert delay is None or delay >= 0


@given(policies, attempts, seconds)
def test_a_delay_without_retry_after_is_at_most_the_cap(
    policy: RetryPolicy, attempt: int, age: float
) -> None:
    delay = policy.delay(attempt, age)
    assert delay is None or delay <= policy.cap


@given(policies, attempts, seconds, seconds)
def test_retry_after_is_honoured_in_full_or_the_attempt_is_given_up(
    policy: RetryPolicy, attempt: int, age: float, retry_after: float
) -> None:
    delay = policy.delay(attempt, age, retry_after)
    assert delay is None or delay >= retry_after


def test_retry_after_is_honoured_beyond_the_cap() -> None:
    policy = RetryPolicy(base=0.1, cap=1.0, max_attempts=5, max_age=100.0)
    assert policy.delay(1, 0.0, retry_after=60.0) == 60.0


def test_a_retry_after_shorter_than_the_back_off_does_not_shorten_it() -> None:
    policy = RetryPolicy(base=2.0, cap=30.0)
    assert policy.delay(1, 0.0, retry_after=0.5, uniform=lambda low, high: high) == 2.0


@given(policies, waits, seconds)
def test_there_are_at_most_max_attempts(
    policy: RetryPolicy, retry_after: float | None, age: float
) -> None:
    assert policy.delay(policy.max_attempts, age, retry_after) is None
    assert policy.delay(policy.max_attempts + 1, age, retry_after) is None


@given(policies, attempts, seconds)
def test_no_attempt_starts_past_the_age_limit(
    policy: RetryPolicy, attempt: int, age: float
) -> None:
    delay = policy.delay(attempt, age)
    assert delay is None or age + delay <= policy.max_age


@given(policies, attempts, seconds, seconds)
def test_the_wait_that_a_service_asks_for_does_not_count_as_age(
    policy: RetryPolicy, attempt: int, age: float, retry_after: float
) -> None:
    delay = policy.delay(attempt, age, retry_after)
    assert delay is None or age + delay - retry_after <= policy.max_age + 1e-6


@given(st.integers(2, 50))
def test_every_attempt_up_to_the_limit_is_made(max_attempts: int) -> None:
    policy = RetryPolicy(base=0.001, cap=0.001, max_attempts=max_attempts, max_age=1.0)
    assert all(policy.delay(n, 0.0) is not None for n in range(1, max_attempts))


def test_the_age_limit_applies_to_the_start_of_the_next_attempt() -> None:
    policy = RetryPolicy(base=1.0, cap=1.0, max_attempts=5, max_age=10.0)
    assert policy.delay(1, 9.0, uniform=lambda low, high: high) == 1.0
    assert policy.delay(1, 9.5, uniform=lambda low, high: high) is None


def test_by_default_it_gives_up_after_about_two_minutes() -> None:
    assert RetryPolicy().max_age == pytest.approx(120)
