"""The circuit breaker of a channel: when it opens, which lane may probe, and when it closes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridge.delivery import circuit_breaker as module
from bridge.delivery.circuit_breaker import (
    FAILURES,
    LONGEST_PAUSE,
    PROBE_TIMEOUT,
    RECIPIENTS,
    SILENCE,
    CircuitBreaker,
)
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from tests.support.fakes import Timers, quiet

BUSY = RetryableDeliveryError("HTTP 503")
GONE = ServiceUnavailable("no connection")


class Clock:
    """A clock that the test advances."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lane:
    """A lane that waits until the breaker lets it pass."""

    numbers = itertools.count()

    def __init__(self, breaker: CircuitBreaker, recipient: str | None = None) -> None:
        self.recipient = recipient or f"lane {next(self.numbers)}"
        self.task = asyncio.ensure_future(breaker.passage(self.recipient))

    @property
    def passed(self) -> bool:
        return self.task.done() and not self.task.cancelled()


@pytest_asyncio.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Timers]:
    with monkeypatch.context() as patch:
        yield Timers(patch)


async def passed(lanes: list[Lane]) -> int:
    await quiet(20)
    return sum(lane.passed for lane in lanes)


async def test_a_new_breaker_lets_calls_through(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    assert breaker.is_open
    await breaker.passage("ada")
    assert not timers.delays


async def test_an_unreachable_service_opens_the_breaker_at_once(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    assert not breaker.is_open


async def test_many_failures_of_several_recipients_open_the_breaker(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    for n in range(FAILURES - 1):
        breaker.failed(n % RECIPIENTS, BUSY)
    assert breaker.is_open
    breaker.failed(0, BUSY)
    assert not breaker.is_open


async def test_failures_of_too_few_recipients_do_not_open_the_breaker(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    for n in range(FAILURES * 10):
        breaker.failed(n % (RECIPIENTS - 1), BUSY)
    assert breaker.is_open


async def test_a_success_resets_the_failure_count(timers: Timers) -> None:
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    for turn in range(5):
        clock.now += SILENCE
        for n in range(FAILURES - 1):
            breaker.failed((turn, n), BUSY)
        assert breaker.is_open
        breaker.succeeded("eve")


async def test_no_lane_passes_before_the_pause_is_over(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    assert await passed(lanes) == 0
    (pause,) = timers.delays
    assert pause >= 0.5


async def test_after_the_pause_exactly_one_lane_may_probe(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1
    assert not breaker.is_open


async def test_a_lane_that_arrives_after_the_pause_may_probe(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    timers.fire()
    lanes = [Lane(breaker), Lane(breaker)]
    assert await passed(lanes) == 1


async def test_a_successful_probe_lets_every_lane_pass(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    await passed(lanes)
    breaker.succeeded("eve")
    assert await passed(lanes) == 3
    assert breaker.is_open
    assert not timers.delays


@pytest.mark.parametrize("error", [BUSY, GONE])
async def test_a_failed_probe_starts_another_pause(
    timers: Timers, error: RetryableDeliveryError
) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(4)]
    for probes in range(1, 4):
        await passed(lanes)
        timers.fire()
        assert await passed(lanes) == probes
        breaker.failed(lanes[probes - 1].recipient, error)
        assert await passed(lanes) == probes
        assert not breaker.is_open


async def test_pauses_grow_up_to_a_limit_and_are_reset_by_a_success(
    timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def longest(failures: int, base: float, cap: float) -> float:
        return float(min(cap, base * 2 ** (failures - 1)))

    monkeypatch.setattr("bridge.delivery.circuit_breaker.backoff", longest)
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    pauses = []
    for _ in range(10):
        breaker.failed("ada", GONE)
        pauses += timers.delays
        timers.fire()
        await breaker.passage("ada")
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    breaker.succeeded("ada")
    clock.now += SILENCE
    breaker.failed("ada", GONE)
    assert timers.delays == pauses[:1]


async def test_a_failure_of_a_call_in_flight_does_not_prolong_the_pause(
    timers: Timers,
) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    before = timers.delays
    breaker.failed("bob", GONE)
    assert timers.delays == before


async def test_a_success_of_a_call_in_flight_closes_the_breaker(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker)]
    await passed(lanes)
    breaker.succeeded("eve")
    assert await passed(lanes) == 1
    assert not timers.delays


async def test_a_probe_that_reports_nothing_times_out(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1
    assert timers.delays == [PROBE_TIMEOUT]
    timers.fire()
    assert await passed(lanes) == 2


async def test_a_cancelled_lane_does_not_use_up_the_probe(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    lanes[0].task.cancel()
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1


async def test_a_lane_cancelled_as_it_gets_the_probe_leaves_a_later_probe_to_another(
    timers: Timers,
) -> None:
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(2)]
    await passed(lanes)
    timers.fire()
    lanes[0].task.cancel()
    if await passed(lanes) == 0:
        timers.fire()
    assert await passed(lanes) == 1


async def test_a_pause_without_waiting_lanes_does_not_leave_an_early_probe_behind(
    timers: Timers,
) -> None:
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    breaker.failed("ada", GONE)
    timers.fire()
    breaker.succeeded("a call that was under way")
    clock.now += SILENCE
    breaker.failed("bob", GONE)
    assert await passed([Lane(breaker)]) == 0


async def test_failures_do_not_open_the_breaker_while_other_recipients_are_served(
    timers: Timers,
) -> None:
    """Stalled calls time out many at a time, without a success between them."""
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    for _ in range(5):
        breaker.succeeded("eve")
        clock.now += SILENCE / 2
        for n in range(FAILURES * 3):
            breaker.failed(n, BUSY)
        breaker.failed("ada", GONE)
    assert breaker.is_open


async def test_recipients_that_failed_while_others_were_served_never_open_the_breaker(
    timers: Timers,
) -> None:
    """For example at night, when only their retries are in flight."""
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    for n in range(FAILURES - 1):
        breaker.failed(n, BUSY)
    breaker.succeeded("eve")
    clock.now += SILENCE * 10
    for _ in range(FAILURES):
        for n in range(FAILURES - 1):
            breaker.failed(n, GONE)
    assert breaker.is_open


async def test_a_recipient_counts_again_after_it_was_served(timers: Timers) -> None:
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    for n in range(RECIPIENTS):
        breaker.failed(n, BUSY)
    for n in range(RECIPIENTS):
        breaker.succeeded(n)
    clock.now += SILENCE
    breaker.failed(0, GONE)
    assert not breaker.is_open


async def test_the_number_of_remembered_broken_recipients_is_bounded(
    timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    clock = Clock()
    breaker = CircuitBreaker("slack", clock)
    for n in range(3):
        breaker.failed(n, BUSY)
    breaker.succeeded("eve")
    clock.now += SILENCE
    for n in (1, 2):
        breaker.failed(n, GONE)
    assert breaker.is_open
    breaker.failed(0, GONE)
    assert not breaker.is_open


async def test_a_healthy_recipient_probes_before_failing_ones(
    timers: Timers,
) -> None:
    breaker = CircuitBreaker("slack")
    for n in range(FAILURES):
        breaker.failed(str(n), BUSY)
    lanes = [Lane(breaker, str(n)) for n in range(FAILURES)]
    healthy = Lane(breaker, "eve")
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 0
    assert healthy.passed
    breaker.succeeded("eve")
    assert await passed(lanes) == FAILURES


async def test_only_the_probe_may_call_while_the_breaker_holds_calls_back(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    assert breaker.may_call("ada")
    breaker.failed("ada", GONE)
    assert not breaker.may_call("ada")
    timers.fire()
    await Lane(breaker, "eve").task
    assert breaker.may_call("eve")
    assert not breaker.may_call("ada")
    breaker.failed("eve", GONE)
    assert not breaker.may_call("eve")


async def test_a_probe_that_ends_without_a_result_starts_another_pause(timers: Timers) -> None:
    """For example, the connector raised an exception other than DeliveryError."""
    breaker = CircuitBreaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(2)]
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1
    breaker.left(lanes[0].recipient)
    (pause,) = timers.delays
    assert pause < PROBE_TIMEOUT
    timers.fire()
    assert await passed(lanes) == 2


async def test_a_lane_that_ends_without_being_the_probe_changes_nothing(timers: Timers) -> None:
    breaker = CircuitBreaker("slack")
    breaker.left("ada")
    assert breaker.is_open
    breaker.failed("ada", GONE)
    before = timers.delays
    breaker.left("ada")
    assert timers.delays == before
