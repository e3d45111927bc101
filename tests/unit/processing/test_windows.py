"""Which lanes are moved out of a full window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from bridge.messages import Delivery, InboundMessage
from bridge.processing import lanes as module
from bridge.processing.admission import Slots
from bridge.processing.lanes import Lane, Lanes
from bridge.processing.windows import FAILS_FOR, LOOKS, Item, Windows
from tests.support.fakes import Timers, a_delivery, an_inbound, quiet

WINDOW = 16
Running = Lane[Item[InboundMessage]]


class Bench:
    """Lanes whose first message runs, fails or pauses, as the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.timers = Timers(monkeypatch)
        self.now = 1000.0
        clock = SimpleNamespace(monotonic=lambda: self.now)
        for name in ("bridge.processing.lanes.time", "bridge.processing.windows.time"):
            monkeypatch.setattr(name, clock)
        self.gate = SimpleNamespace(is_open=True)
        self.broker = SimpleNamespace(problem=lambda: "")
        self.slots = Slots(4)
        self.pausing: set[str] = set()
        self.giving_up: set[str] = set()
        self.waiting_for_a_slot: set[str] = set()
        self.lanes: Lanes[Item[InboundMessage]] = Lanes(self._run)
        self.moved: list[str] = []
        self.room = True
        self.slow_to_move = False
        self.paced = 0
        processor: Any = SimpleNamespace(
            gate=self.gate, queues=self.broker, slots=self.slots, paced=lambda: self.paced
        )
        self.windows: Windows[InboundMessage] = Windows(processor, self.lanes, WINDOW, self._spill)

    async def _run(self, item: Item[InboundMessage]) -> None:
        lane = item[1].sender_id  # type: ignore[union-attr]
        if lane not in self.waiting_for_a_slot:
            module.began()
        if lane in self.giving_up:
            module.gave_up()
        if lane in self.pausing:
            with module.pausing():
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    def _spill(self, lane: Running) -> int | None:
        if not self.room:
            return None
        if lane.key in self.moved:
            return 0
        self.moved.append(str(lane.key))
        moving = len(lane.items)
        if not self.slow_to_move:
            lane.items.clear()
        return moving

    async def arrive(self, **lanes: int) -> None:
        for lane, count in lanes.items():
            for n in range(count):
                delivery: Delivery = a_delivery(message := an_inbound(f"{n}", sender_id=lane))
                self.windows.enter(delivery)
                self.lanes.put(lane, (delivery, message))
        await quiet(5)

    async def check(self, after: float = 1.0) -> list[str]:
        self.now += after
        self.timers.fire()
        return self.moved


@pytest_asyncio.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    await bench.lanes.cancel()


async def test_nothing_is_looked_at_while_no_window_is_full(bench: Bench) -> None:
    await bench.arrive(a=WINDOW - 1)
    assert bench.timers.delays == []


async def test_a_slow_lane_is_moved_if_it_has_more_than_a_quarter(bench: Bench) -> None:
    await bench.arrive(a=6, b=5, c=5)
    assert await bench.check() == ["a"]


async def test_slow_lanes_are_moved_if_together_they_leave_nothing(bench: Bench) -> None:
    bench.waiting_for_a_slot = {"e"}
    await bench.arrive(a=3, b=4, c=3, d=3, e=3)
    assert await bench.check() == ["b", "a"]


async def test_slow_lanes_stay_while_others_have_a_part_of_the_window(bench: Bench) -> None:
    bench.waiting_for_a_slot = {"d"}
    await bench.arrive(a=4, b=4, c=4, d=4)
    assert await bench.check() == []


async def test_a_lane_that_has_just_begun_is_not_slow(bench: Bench) -> None:
    await bench.arrive(a=WINDOW)
    assert await bench.check(after=0.1) == []
    assert await bench.check(after=0.2) == ["a"]


async def test_a_lane_that_waits_for_a_slot_is_not_slow(bench: Bench) -> None:
    bench.waiting_for_a_slot = {"a"}
    await bench.arrive(a=WINDOW)
    assert await bench.check() == []


async def test_a_pausing_lane_is_moved_at_once_whatever_its_share(bench: Bench) -> None:
    bench.pausing = {"a"}
    await bench.arrive(a=2, b=5, c=5, d=4)
    assert await bench.check(after=0.0) == ["a"]


async def test_the_largest_lanes_are_moved_until_a_part_of_the_window_is_free(
    bench: Bench,
) -> None:
    bench.pausing = {"a", "b", "c", "d"}
    await bench.arrive(a=3, b=5, c=4, d=4)
    assert await bench.check() == ["b", "c"]


async def test_further_lanes_are_moved_while_those_before_have_not_left_yet(bench: Bench) -> None:
    bench.pausing = {"a", "b", "c", "d"}
    bench.slow_to_move = True
    await bench.arrive(a=3, b=5, c=4, d=4)
    assert await bench.check() == ["b", "c"]
    assert await bench.check(after=0.0) == ["b", "c", "d", "a"]


async def test_a_failing_lane_counts_as_one_that_pauses(bench: Bench) -> None:
    bench.slots.failed("a")
    await bench.arrive(a=2, b=5, c=5, d=4)
    assert await bench.check(after=0.0) == ["a"]


async def test_a_lane_with_a_dead_letter_counts_as_one_that_fails_for_a_while(bench: Bench) -> None:
    bench.giving_up, bench.waiting_for_a_slot = {"a"}, {"b", "c", "d"}
    await bench.arrive(a=2, b=5, c=5, d=4)
    assert await bench.check(after=FAILS_FOR / 2) == ["a"]
    bench.giving_up = {"e"}
    await bench.arrive(e=2)
    assert await bench.check(after=FAILS_FOR) == ["a"]


async def test_a_lane_of_quick_turns_is_moved_if_it_has_much_at_look_after_look(
    bench: Bench,
) -> None:
    await bench.arrive(a=6, b=5, c=5)
    for _ in range(LOOKS - 1):
        assert await bench.check(after=0.0) == []
    assert await bench.check(after=0.0) == ["a"]


async def test_a_lane_of_quick_turns_stays_that_has_much_now_and_then(bench: Bench) -> None:
    await bench.arrive(a=6, b=5, c=5)
    lane = bench.lanes.get("a")
    assert lane is not None
    for _ in range(LOOKS):
        assert await bench.check(after=0.0) == []
        waiting = list(lane.items)
        lane.items.clear()
        assert await bench.check(after=0.0) == []
        lane.items.extend(waiting)


async def test_lanes_that_share_a_rate_limit_stay_in_the_window(bench: Bench) -> None:
    bench.paced = 1
    await bench.arrive(a=6, b=5, c=5)
    for _ in range(LOOKS + 1):
        assert await bench.check(after=0.0) == []
    lane = bench.lanes.get("a")
    assert lane is not None
    lane.items.pop()
    assert await bench.check() == []


@pytest.mark.parametrize("why", ["the service is down", "the broker accepts nothing"])
async def test_nothing_is_moved_while_it_would_help_nothing(bench: Bench, why: str) -> None:
    bench.gate.is_open = why != "the service is down"
    bench.broker.problem = lambda: "an alarm" * (why != "the service is down")
    await bench.arrive(a=WINDOW)
    assert await bench.check() == []
    bench.gate.is_open, bench.broker.problem = True, lambda: ""
    assert await bench.check() == ["a"]


async def test_nothing_is_moved_once_draining_has_begun(bench: Bench) -> None:
    await bench.arrive(a=WINDOW)
    bench.lanes.draining.set()
    assert await bench.check() == []
    assert bench.timers.delays == []


async def test_a_window_that_is_not_full_any_more_is_left_alone(bench: Bench) -> None:
    await bench.arrive(a=WINDOW)
    bench.windows.leave(a_delivery(an_inbound()))
    assert await bench.check() == []
    assert bench.timers.delays == []
