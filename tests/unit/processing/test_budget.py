"""Retry time is counted per lane, not per message."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.messages import Reply
from bridge.processing import attempts, budget as module, outcomes, verdict
from bridge.processing.budget import RetryBudgets
from bridge.processing.gate import OpenGate
from bridge.processing.pause import PausableGate
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import FakePublisher, Journal, a_delivery, a_reply
from tests.support.waiting import eventually

BUDGET = 100.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_is_used_up_until_a_success() -> None:
    budgets = RetryBudgets(BUDGET, Clock())
    assert budgets.spent("a") == 0
    budgets.exhaust("a")
    assert (budgets.spent("a"), budgets.spent("b")) == (BUDGET, 0)
    budgets.renew("a")
    assert budgets.spent("a") == 0


def test_a_lane_has_a_new_budget_after_a_pause_as_long_as_one() -> None:
    clock = Clock()
    budgets = RetryBudgets(BUDGET, clock)
    budgets.exhaust("a")
    clock.now += BUDGET - 1
    budgets.exhaust("a")
    clock.now += BUDGET - 1
    assert budgets.spent("a") == BUDGET
    clock.now += 1
    assert budgets.spent("a") == 0


def test_the_number_of_remembered_lanes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    budgets = RetryBudgets(BUDGET, Clock())
    for lane in "abac":
        budgets.exhaust(lane)
    assert [budgets.spent(lane) for lane in "abc"] == [BUDGET, 0, BUDGET]


class Channel:
    """A processor of replies whose attempts do what `answer` says, on a clock of the test."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, int], Exception | None]
    ) -> None:
        self.clock = Clock()
        times = SimpleNamespace(time=time.time, monotonic=self.clock)
        monkeypatch.setattr(attempts, "time", times)
        monkeypatch.setattr(verdict, "time", times)
        monkeypatch.setattr(outcomes, "time", times)
        self.journal: Journal = []
        self.tried: list[str] = []
        self.answer = answer
        self.processor: Processor[Reply] = Processor(
            Reply,
            self._handle,
            FakePublisher(self.journal).queues(),
            concurrency=4,
            policy=RetryPolicy(base=0.0, cap=0.0, max_age=BUDGET),
        )
        self.processor.budgets = RetryBudgets(BUDGET, self.clock)
        self.generation = self.processor.open()

    async def _handle(self, reply: Reply) -> None:
        self.tried.append(reply.id)
        self.clock.now += 30  # so long takes an attempt
        error = self.answer(reply.id, self.tried.count(reply.id))
        if error:
            raise error

    async def deliver(self, *ids: str, **changes: Any) -> None:
        for id in ids:
            self.generation.admit(a_delivery(a_reply(id, **changes), self.journal))
        await eventually(lambda: all(("acked", id) in self.journal for id in ids))

    def attempts(self, *ids: str) -> list[int]:
        return [self.tried.count(id) for id in ids]


def always(error: Exception) -> Callable[[str, int], Exception | None]:
    return lambda id, attempt: error


async def test_a_failing_lane_has_one_budget_and_then_one_attempt_for_each_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = Channel(monkeypatch, always(RetryableDeliveryError("HTTP 500")))
    await channel.deliver("1", "2", "3")
    assert channel.attempts("1", "2", "3") == [4, 1, 1]
    # Another lane has its own.
    await channel.deliver("4", recipient_id="bob")
    assert channel.attempts("4") == [4]


@pytest.mark.parametrize(("accepts", "tries"), [(False, [4, 4]), (True, [4, 1])])
async def test_a_lane_does_not_pay_for_an_outage_of_its_service(
    monkeypatch: pytest.MonkeyPatch, accepts: bool, tries: list[int]
) -> None:
    channel = Channel(monkeypatch, always(ServiceUnavailable("no connection")))
    gate = OpenGate()
    gate.accepted_at = float("inf" if accepts else "-inf")
    channel.processor.gate = PausableGate(gate)
    await channel.deliver("1", "2")
    assert channel.attempts("1", "2") == tries


async def test_a_success_gives_the_lane_a_new_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RetryableDeliveryError("HTTP 500")
    channel = Channel(monkeypatch, lambda id, attempt: None if id == "good" else error)
    await channel.deliver("1", "2", "good", "3")
    assert channel.attempts("1", "2", "good", "3") == [4, 1, 1, 4]


async def test_a_rejected_message_neither_uses_nor_renews_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(id: str, attempt: int) -> Exception:
        rejected = RejectedDeliveryError("HTTP 400")
        return rejected if id.startswith("rejected") else RetryableDeliveryError("HTTP 500")

    channel = Channel(monkeypatch, answer)
    await channel.deliver("rejected 1", "1", "rejected 2", "2")
    assert channel.attempts("rejected 1", "1", "rejected 2", "2") == [1, 4, 1, 1]


async def test_a_retry_after_is_obeyed_although_the_budget_is_used_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(id: str, attempt: int) -> Exception | None:
        if id == "limited":
            asks = RetryableDeliveryError("HTTP 429", retry_after=0.001)
            return asks if attempt < 3 else None
        return RetryableDeliveryError("HTTP 500")

    channel = Channel(monkeypatch, answer)
    await channel.deliver("1", "limited")
    assert channel.attempts("1", "limited") == [4, 3]
