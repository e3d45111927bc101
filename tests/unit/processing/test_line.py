"""Who gets the next slot: priorities, and that none waits forever."""

from __future__ import annotations

import asyncio
import time

import pytest

from bridge.messages import Priority
from bridge.processing import throttle
from bridge.processing.admission import Slots
from bridge.processing.line import FAIR, Line, Place
from tests.support.fakes import quiet


def join(line: Line, *lanes: tuple[str, Priority]) -> dict[Place | None, str]:
    return {line.join(lane, priority): lane for lane, priority in lanes}


async def test_the_most_urgent_lane_goes_first_and_equals_in_the_order_of_arrival() -> None:
    line = Line()
    names = join(line, ("l", "low"), ("n1", "normal"), ("n2", "normal"), ("h", "high"))
    # The fourth slot is that of the longest wait, which is also the last one here.
    assert [names[line.next()] for _ in names] == ["h", "n1", "n2", "l"]
    assert line.next() is None


async def test_one_slot_in_four_goes_to_the_longest_wait() -> None:
    line = Line()
    names = join(line, ("bulk", "low"), *((f"h{n}", "high") for n in range(20)))
    order = [names[line.next()] for _ in range(2 * FAIR)]
    assert order.index("bulk") == FAIR - 1


async def test_a_lane_that_hurries_goes_first_once() -> None:
    line = Line()
    names = join(line, ("a", "normal"), ("b", "normal"), ("c", "low"))
    line.hurry("c", "high")
    line.hurry("c", "normal")
    line.hurry("absent", "high")
    assert [names[line.next()] for _ in names] == ["c", "a", "b"]
    assert not line


async def test_a_place_that_was_given_up_is_skipped() -> None:
    line = Line()
    first, second = line.join("a", "high"), line.join("b", "high")
    first.turn.cancel()
    assert line.next() is second
    assert not line


class Running:
    """Attempts that hold a slot until they are ended."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.started: list[str] = []

    async def start(self, priority: Priority, *lanes: str) -> None:
        for lane in lanes:
            self.tasks[lane] = asyncio.create_task(self._run(lane, priority))
        await quiet(20)

    async def _run(self, lane: str, priority: Priority) -> None:
        async with self.slots.hold(lane, priority):
            self.started.append(lane)
            await asyncio.Event().wait()

    async def end(self, *lanes: str) -> None:
        for lane in lanes:
            self.tasks.pop(lane).cancel()
        await quiet(20)


async def test_an_urgent_attempt_need_not_wait_for_a_slot() -> None:
    running = Running(Slots(2, urgent=1))
    await running.start("normal", "a", "b", "c")
    await running.start("high", "h1", "h2")
    assert running.started == ["a", "b", "h1"]
    assert running.slots.busy == 2
    await running.end("h1")
    assert running.started[3:] == ["h2"]
    await running.end("a", "h2")
    assert running.started[4:] == ["c"]
    await running.end("b", "c")
    assert running.slots.busy == 0


async def test_without_room_for_urgent_attempts_they_are_first_in_line() -> None:
    running = Running(Slots(1))
    await running.start("normal", "a", "b")
    await running.start("high", "h")
    assert running.started == ["a"]
    await running.end("a")
    assert running.started == ["a", "h"]


async def test_an_attempt_that_is_cancelled_with_its_slot_passes_it_on() -> None:
    slots = Slots(1)
    running = Running(slots)
    await running.start("normal", "a", "b", "c")
    running.tasks.pop("a").cancel()
    await asyncio.sleep(0)  # "a" ends and gives its slot to "b", which has not run yet
    running.tasks.pop("b").cancel()
    await quiet(20)
    assert running.started == ["a", "c"]


async def test_nothing_urgent_starts_beside_a_suspect_that_runs_alone() -> None:
    slots = Slots(2, urgent=2)
    running = Running(slots)
    async with slots.hold_all():
        await running.start("high", "h")
        assert running.started == []
    await quiet(20)
    assert running.started == ["h"]


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def test_throttled_attempts_that_use_the_cpu_do_not_share_a_pass_of_the_event_loop() -> None:
    """Else each step of an urgent message waits for all of them."""
    slots = Slots(16, throttled=True)
    longest = 0.0

    async def turn(lane: int) -> None:
        async with slots.hold(lane):
            burn(2 * throttle.LONG_PASS)
            await asyncio.sleep(0)

    turns = [asyncio.ensure_future(turn(n)) for n in range(12)]
    while not all(t.done() for t in turns):
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    assert longest < 6 * throttle.LONG_PASS, "two turns at most between two steps"


async def test_throttled_attempts_that_wait_use_every_slot() -> None:
    running = Running(Slots(16, throttled=True))
    await running.start("normal", *(f"n{n}" for n in range(20)))
    await quiet()
    assert len(running.started) == 16


@pytest.mark.parametrize("urgent", [0, 1])
async def test_a_pace_always_goes_on(urgent: int) -> None:
    """Also beside work that keeps the event loop busy."""
    slots = Slots(4, throttled=True)
    slots.urgent(urgent)
    running, done = True, 0

    async def noise() -> None:
        while running:
            burn(throttle.CALM_PASS * 2)
            await asyncio.sleep(0)

    async def turn(lane: int) -> None:
        nonlocal done
        async with slots.hold(lane):
            burn(throttle.LONG_PASS)
        done += 1

    noisy = asyncio.ensure_future(noise())
    await asyncio.wait_for(asyncio.gather(*(turn(n) for n in range(6))), 30)
    running = False
    await noisy
    assert done == 6


async def test_attempts_with_short_steps_need_not_wait_for_the_throttle() -> None:
    slots = Slots(4, throttled=True)
    running = Running(slots)
    await running.start("normal", "beside")
    for _ in range(throttle.LIGHT_AFTER):
        await running.start("normal", "short")
        await running.end("short")
    first, second = slots.hold("first"), slots.hold("second")
    for attempt in (first, second):
        started = attempt.__aenter__()
        with pytest.raises(StopIteration):  # it has its slot without a wait
            started.send(None)
    assert slots.busy == 3
