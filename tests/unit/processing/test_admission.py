"""Which lanes get a slot when there are more lanes than slots."""

from __future__ import annotations

import asyncio

import pytest

from bridge.processing import admission as module
from bridge.processing.admission import Slots
from tests.support.fakes import quiet


class Work:
    """Lanes that each take a slot and hold it until the test ends them."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._tasks: list[asyncio.Task[None]] = []
        self.holding: list[str] = []

    async def start(self, *lanes: str) -> None:
        self._tasks += [asyncio.create_task(self._hold(lane)) for lane in lanes]
        await quiet(20)

    async def _hold(self, lane: str) -> None:
        async with self._slots.hold(lane):
            self.holding.append(lane)
            try:
                await asyncio.Event().wait()
            finally:
                self.holding.remove(lane)

    async def end(self, lane: str) -> None:
        self._tasks.pop(self.holding.index(lane)).cancel()
        await quiet(20)


async def test_lanes_never_hold_more_slots_than_exist() -> None:
    work = Work(Slots(3))
    await work.start("a", "b", "c", "d")
    assert work.holding == ["a", "b", "c"]
    await work.end("b")
    assert work.holding == ["a", "c", "d"]


async def test_failing_lanes_hold_at_most_a_quarter_of_the_slots() -> None:
    slots = Slots(8)
    failing = [f"failing {n}" for n in range(20)]
    for lane in failing:
        slots.failed(lane)
    work = Work(slots)
    await work.start(*failing)
    assert work.holding == failing[:2]
    healthy = [f"healthy {n}" for n in range(6)]
    await work.start(*healthy)
    assert work.holding == failing[:2] + healthy


async def test_a_failing_lane_gets_a_slot_even_if_there_is_only_one() -> None:
    slots = Slots(1)
    slots.failed("a")
    work = Work(slots)
    await work.start("a", "b")
    assert work.holding == ["a"]
    await work.end("a")
    assert work.holding == ["b"]


async def test_a_lane_that_succeeds_counts_as_healthy_again() -> None:
    slots = Slots(4)
    for lane in ("a", "b"):
        slots.failed(lane)
        slots.succeeded(lane)
    work = Work(slots)
    await work.start("a", "b")
    assert work.holding == ["a", "b"]


async def test_the_number_of_remembered_failing_lanes_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    slots = Slots(4)
    for lane in ("a", "b", "c"):
        slots.failed(lane)
    work = Work(slots)
    await work.start("a", "b", "c")
    assert work.holding == ["a", "b"]
