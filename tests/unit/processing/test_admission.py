"""Which lanes get a slot when there are more lanes than slots."""

from __future__ import annotations

import asyncio

import pytest

from bridge.processing import admission as module
from bridge.processing.admission import Slots
from tests.support.fakes import quiet
from tests.support.waiting import eventually


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


async def test_slow_attempts_give_their_slots_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_AFTER", 0.05)
    slots = Slots(2, slow=3)
    running: list[int] = []
    ends = asyncio.Event()

    async def attempt(n: int) -> None:
        async with slots.hold(n):
            running.append(n)
            await ends.wait()
            running.remove(n)

    attempts = [asyncio.ensure_future(attempt(n)) for n in range(8)]
    await asyncio.sleep(0)
    # Two slots, and three slow attempts beyond them.
    await eventually(lambda: len(running) == 5)
    await asyncio.sleep(0.2)
    assert running == [0, 1, 2, 3, 4]
    assert slots.busy == 2
    ends.set()
    await asyncio.gather(*attempts)
    assert slots.busy == 0


async def test_without_room_for_slow_attempts_the_number_of_slots_is_a_hard_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SLOW_AFTER", 0.01)
    slots = Slots(2)
    running: list[int] = []

    async def attempt(n: int) -> None:
        async with slots.hold(n):
            running.append(n)
            await asyncio.Event().wait()

    attempts = [asyncio.ensure_future(attempt(n)) for n in range(4)]
    await asyncio.sleep(0.1)
    assert running == [0, 1]
    for task in attempts:
        task.cancel()


async def test_hold_all_waits_for_slow_attempts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_AFTER", 0.01)
    slots = Slots(2, slow=2)
    ends = asyncio.Event()
    order: list[str] = []

    async def slow() -> None:
        async with slots.hold("slow"):
            await ends.wait()
            order.append("slow ended")

    async def alone() -> None:
        async with slots.hold_all():
            order.append("alone")

    attempts = [asyncio.ensure_future(slow())]
    await eventually(lambda: slots.busy == 0)
    attempts.append(asyncio.ensure_future(alone()))
    await asyncio.sleep(0.05)
    ends.set()
    await asyncio.gather(*attempts)
    assert order == ["slow ended", "alone"]
