"""A service asks to wait: the time is obeyed, and no part of the message's age."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from bridge.messages import Reply
from bridge.processing import attempts, outcomes, verdict
from bridge.runtime.retry import LONGEST_WAIT, RetryPolicy
from tests.support.fakes import a_reply
from tests.support.virtual_time import virtually
from tests.unit.processing.test_processor import Bench

SHORT = RetryPolicy(base=0.1, cap=1.0, max_attempts=5, max_age=30.0)


def asks(seconds: float) -> Exception:
    return RetryableDeliveryError("HTTP 429", seconds)


def bench_of(monkeypatch: pytest.MonkeyPatch, *plan: Any, gate: Any = None) -> Bench:
    """Return a bench in virtual time that follows the plan for the reply `e1:0`."""
    clock = asyncio.get_running_loop().time
    for module in (attempts, outcomes, verdict):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=time.time, monotonic=clock))
    bench = Bench(kind=Reply, policy=SHORT, gate=gate)
    bench.plans["e1:0"] = list(plan)
    bench.admit(a_reply("e1:0"))
    return bench


def ended(bench: Bench) -> list[str]:
    return [what for what, _ in bench.journal if what != "attempt"]


@virtually
async def test_a_wait_longer_than_the_age_limit_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(monkeypatch, asks(1700), asks(1700))
    await asyncio.sleep(3399)
    assert bench.journal == [("attempt", "e1:0")] * 2
    await asyncio.sleep(10)
    assert "acked" in ended(bench)
    assert not bench.publisher.published


@virtually
async def test_such_attempts_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(monkeypatch, *[asks(10)] * 8)
    await asyncio.sleep(400)
    assert bench.journal.count(("attempt", "e1:0")) == 9
    assert not bench.publisher.published


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (LONGEST_WAIT + 1, "the service asks to wait 1 h 1 s (Retry-After)"),
        (7200, "the service asks to wait 2 h (Retry-After)"),
        (1e12, "(Retry-After)"),
    ],
)
@virtually
async def test_a_wait_longer_than_an_hour_is_dead_lettered_at_once(
    seconds: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_of(monkeypatch, asks(seconds))
    await asyncio.sleep(0.1)
    (letter,) = bench.publisher.published
    assert text in letter.properties["headers"]["x-bridge-error"]
    assert "acked" in ended(bench)


@virtually
async def test_waits_of_more_than_an_hour_in_sum_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(monkeypatch, *[asks(600)] * 100)
    await asyncio.sleep(LONGEST_WAIT + 100)
    (letter,) = bench.publisher.published
    assert "10 min after 1 h (Retry-After)" in letter.properties["headers"]["x-bridge-error"]


@virtually
async def test_a_service_that_always_asks_for_a_second_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = bench_of(monkeypatch, *[asks(1)] * 10_000)
    await asyncio.sleep(2 * LONGEST_WAIT)
    assert len(bench.publisher.published) == 1


@virtually
async def test_no_wait_is_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(monkeypatch, *map(asks, (float("inf"), float("nan"), 10**400, -5)))
    await asyncio.sleep(SHORT.max_age)
    assert "acked" in ended(bench)


@virtually
async def test_the_time_at_the_circuit_breaker_is_no_part_of_the_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lane failed before the breaker opened, and fails once more after it closed."""
    breaker = CircuitBreaker("slack", asyncio.get_running_loop().time)
    failure = RetryableDeliveryError("HTTP 500")
    bench = bench_of(monkeypatch, failure, failure, gate=breaker)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    breaker.failed("bob", ServiceUnavailable("no connection"))
    breaker.failed(("callback", "ada"), failure)
    breaker._failed_at = float("inf")
    await asyncio.sleep(10 * SHORT.max_age)
    breaker.succeeded("bob")
    await asyncio.sleep(SHORT.max_age)
    assert "acked" in ended(bench)
    assert not bench.publisher.published
