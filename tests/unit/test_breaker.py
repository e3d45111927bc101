"""The breaker of a channel: when it opens, who may probe, and when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bridge.delivery.breaker import FAILURES, LONGEST_PAUSE, PROBE_TIMEOUT, RECIPIENTS, Breaker
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from tests.support.fakes import Timers, quiet

BUSY = RetryableDeliveryError("HTTP 503")
GONE = ServiceUnavailable("no connection")


class Lane:
    """One lane that waits for its passage."""

    def __init__(self, breaker: Breaker) -> None:
        self.task = asyncio.ensure_future(breaker.passage())

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


async def test_at_first_calls_go_through(timers: Timers) -> None:
    breaker = Breaker("slack")
    assert breaker.is_open
    await breaker.passage()
    assert not timers.delays


async def test_a_service_that_cannot_be_reached_opens_it_at_once(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    assert not breaker.is_open


async def test_many_failures_of_several_recipients_open_it(timers: Timers) -> None:
    breaker = Breaker("slack")
    for n in range(FAILURES - 1):
        breaker.failed(n % RECIPIENTS, BUSY)
    assert breaker.is_open
    breaker.failed(0, BUSY)
    assert not breaker.is_open


async def test_one_broken_recipient_does_not_open_it(timers: Timers) -> None:
    breaker = Breaker("slack")
    for n in range(FAILURES * 10):
        breaker.failed(n % (RECIPIENTS - 1), BUSY)
    assert breaker.is_open


async def test_a_success_between_starts_the_count_afresh(timers: Timers) -> None:
    breaker = Breaker("slack")
    for _ in range(5):
        for n in range(FAILURES - 1):
            breaker.failed(n, BUSY)
        assert breaker.is_open
        breaker.succeeded()


async def test_nobody_passes_before_the_pause_is_over(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    assert await passed(lanes) == 0
    (pause,) = timers.delays
    assert pause >= 0.5


async def test_after_the_pause_exactly_one_lane_may_probe(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1
    assert not breaker.is_open


async def test_a_lane_that_comes_after_the_pause_may_probe(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    timers.fire()
    lanes = [Lane(breaker), Lane(breaker)]
    assert await passed(lanes) == 1


async def test_a_probe_that_succeeds_lets_everybody_pass(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    await passed(lanes)
    breaker.succeeded()
    assert await passed(lanes) == 3
    assert breaker.is_open
    assert not timers.delays


@pytest.mark.parametrize("error", [BUSY, GONE])
async def test_a_probe_that_fails_begins_another_pause(
    timers: Timers, error: RetryableDeliveryError
) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    for probes in range(1, 4):
        await passed(lanes)
        timers.fire()
        assert await passed(lanes) == probes
        breaker.failed("ada", error)
        assert await passed(lanes) == probes
        assert not breaker.is_open


async def test_pauses_grow_up_to_a_limit_and_start_afresh_after_a_success(
    timers: Timers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def longest(failures: int, base: float, cap: float) -> float:
        return float(min(cap, base * 2 ** (failures - 1)))

    monkeypatch.setattr("bridge.delivery.breaker.backoff", longest)
    breaker = Breaker("slack")
    pauses = []
    for _ in range(10):
        breaker.failed("ada", GONE)
        pauses += timers.delays
        timers.fire()
        await breaker.passage()
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5 + LONGEST_PAUSE
    breaker.succeeded()
    breaker.failed("ada", GONE)
    assert timers.delays == pauses[:1]


async def test_a_failure_of_a_call_that_was_under_way_does_not_prolong_the_pause(
    timers: Timers,
) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    before = timers.delays
    breaker.failed("bob", GONE)
    assert timers.delays == before


async def test_a_success_of_a_call_that_was_under_way_closes_it(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker)]
    await passed(lanes)
    breaker.succeeded()
    assert await passed(lanes) == 1
    assert not timers.delays


async def test_a_probe_that_reports_nothing_is_given_up(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1
    assert timers.delays == [PROBE_TIMEOUT]
    timers.fire()
    assert await passed(lanes) == 2


async def test_a_lane_that_is_cancelled_takes_no_probe_with_it(timers: Timers) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(3)]
    await passed(lanes)
    lanes[0].task.cancel()
    await passed(lanes)
    timers.fire()
    assert await passed(lanes) == 1


async def test_a_lane_cancelled_as_it_gets_the_probe_leaves_another_one_later(
    timers: Timers,
) -> None:
    breaker = Breaker("slack")
    breaker.failed("ada", GONE)
    lanes = [Lane(breaker) for _ in range(2)]
    await passed(lanes)
    timers.fire()
    lanes[0].task.cancel()
    if await passed(lanes) == 0:
        timers.fire()
    assert await passed(lanes) == 1
