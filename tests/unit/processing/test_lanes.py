"""Lanes under random interleavings of put, finish, drain and cancel.

Futures held by the test decide how long an item runs, so no time passes. `play` keeps a model
beside the real lanes; each test states one invariant of the run that it observes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, strategies as st

from bridge.processing.lanes import Lanes, ended
from tests.support.fakes import quiet

Item = tuple[str, int]
"""(key, n): the item number n of this key."""

puts = st.tuples(st.just("put"), st.sampled_from("abcd"))
finishes = st.tuples(st.just("finish"), st.integers(0, 9))
works = st.lists(puts | puts | finishes, max_size=30)
ends = st.sampled_from(["drain", "cancel"]).map(lambda end: (end, 0))
plays = st.lists(puts | puts | finishes | ends, max_size=30)


@dataclass
class Seen:
    """What has happened so far, and what should run now."""

    put: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    started: list[Item] = field(default_factory=list)
    ended: list[Item] = field(default_factory=list)
    running: dict[Item, asyncio.Future[None]] = field(default_factory=dict)
    together: int = 0
    """The most items of one key that ever ran at the same time."""
    drained: list[tuple[bool, int]] = field(default_factory=list)
    """What each drain returned, and how many items still ran."""
    ending: str = ""
    lanes: Lanes[Item] | None = None

    @property
    def open_keys(self) -> set[str]:
        """Keys with an item that has not ended."""
        ended = [key for key, _ in self.ended]
        return {key for key, number in self.put.items() if number > ended.count(key)}


async def play(operations: list[tuple[str, object]], look: Callable[[Seen], None]) -> Seen:
    """Run the operations; after each, wait until nothing changes, then call `look`."""
    seen = Seen()

    async def run(item: Item) -> None:
        seen.started.append(item)
        seen.running[item] = asyncio.get_running_loop().create_future()
        same = [key for key, _ in seen.running if key == item[0]]
        seen.together = max(seen.together, len(same))
        try:
            await seen.running[item]
            # Stands for an action after the wait, such as an ack.
            seen.ended.append(item)
        finally:
            del seen.running[item]

    seen.lanes = lanes = Lanes(run)
    for name, value in operations:
        if name == "put":
            key = str(value)
            lanes.put(key, (key, seen.put[key]))
            seen.put[key] += 1
        elif name == "finish" and seen.running:
            waiting = list(seen.running.values())
            future = waiting[int(str(value)) % len(waiting)]
            if not future.done():
                future.set_result(None)
        elif name == "drain":
            seen.ending = seen.ending or "drain"
            seen.drained.append((await lanes.drain(0), len(seen.running)))
        elif name == "cancel":
            seen.ending = "cancel"
            await lanes.cancel()
        await quiet(8)
        look(seen)
    await lanes.cancel()
    return seen


@given(plays)
async def test_one_item_of_a_key_runs_at_a_time(operations: list[tuple[str, object]]) -> None:
    seen = await play(operations, lambda seen: None)
    assert seen.together <= 1


@given(plays)
async def test_items_of_a_key_start_and_end_in_the_order_they_were_put(
    operations: list[tuple[str, object]],
) -> None:
    def look(seen: Seen) -> None:
        for key in seen.put:
            for items in (seen.started, seen.ended):
                numbers = [n for k, n in items if k == key]
                assert numbers == list(range(len(numbers)))

    await play(operations, look)


@given(works)
async def test_no_key_waits_for_another_key(operations: list[tuple[str, object]]) -> None:
    def look(seen: Seen) -> None:
        assert {key for key, _ in seen.running} == seen.open_keys

    await play(operations, look)


@given(works)
async def test_a_lane_is_in_memory_only_while_it_has_items_to_run(
    operations: list[tuple[str, object]],
) -> None:
    def look(seen: Seen) -> None:
        assert seen.lanes is not None
        assert len(seen.lanes) == len(seen.open_keys)

    await play(operations, look)


@given(works)
async def test_every_item_ends_unless_the_lanes_are_drained_or_cancelled(
    operations: list[tuple[str, object]],
) -> None:
    finish_all: list[tuple[str, object]] = [("finish", 0)] * len(operations)
    seen = await play(operations + finish_all, lambda seen: None)
    assert sorted(seen.ended) == [(k, n) for k in sorted(seen.put) for n in range(seen.put[k])]


@given(works, plays)
async def test_after_drain_nothing_starts(
    before: list[tuple[str, object]], after: list[tuple[str, object]]
) -> None:
    started: list[int] = []

    def look(seen: Seen) -> None:
        if seen.ending:
            started.append(len(seen.started))
            assert started[0] == started[-1]

    await play([*before, ("drain", 0), *after], look)


@given(works, works)
async def test_items_that_run_when_drain_begins_may_finish(
    before: list[tuple[str, object]], after: list[tuple[str, object]]
) -> None:
    finish_all = [("finish", 0)] * len(before)
    seen = await play([*before, ("drain", 0), *after, *finish_all], lambda seen: None)
    assert sorted(seen.ended) == sorted(seen.started)


@given(plays)
async def test_drain_returns_whether_every_item_has_ended(
    operations: list[tuple[str, object]],
) -> None:
    seen = await play([*operations, ("drain", 0)], lambda seen: None)
    for all_ended, running in seen.drained:
        assert all_ended == (running == 0)


@given(works, plays)
async def test_after_cancel_nothing_acts(
    before: list[tuple[str, object]], after: list[tuple[str, object]]
) -> None:
    acts: list[tuple[int, int]] = []

    def look(seen: Seen) -> None:
        if seen.ending == "cancel":
            assert not seen.running
            acts.append((len(seen.started), len(seen.ended)))
            assert acts[0] == acts[-1]

    await play([*before, ("cancel", 0), *after], look)


async def test_drain_waits_for_running_items() -> None:
    running = asyncio.Event()
    may_end = asyncio.Event()

    async def run(item: str) -> None:
        running.set()
        await may_end.wait()

    lanes = Lanes(run)
    lanes.put("a", "first")
    lanes.put("a", "second")
    await running.wait()
    draining = asyncio.ensure_future(lanes.drain(grace=3600))
    await quiet()
    assert not draining.done()
    may_end.set()
    assert await draining is True


@pytest.mark.parametrize(("settles", "expected"), [(True, [1, 2]), (False, [1])])
async def test_while_draining_an_item_runs_only_behind_one_that_was_settled(
    settles: bool, expected: list[int]
) -> None:
    # Both ran in one turn, which has ended. If the first returns, the second must return behind it.
    ran: list[int] = []

    async def run(item: int) -> None:
        ran.append(item)
        await lanes.draining.wait()
        if settles:
            ended()

    lanes = Lanes(run)
    lanes.has_ended = lambda item: True
    lanes.put("a", 1)
    lanes.put("a", 2)
    await quiet()
    assert await lanes.drain(grace=3600)
    assert ran == expected


async def test_cancel_waits_until_the_cancelled_items_have_ended() -> None:
    running, cleaned = asyncio.Event(), asyncio.Event()

    async def run(item: str) -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await quiet(20)
            cleaned.set()

    lanes = Lanes(run)
    lanes.put("a", "first")
    await running.wait()
    await lanes.cancel()
    assert cleaned.is_set()


async def test_an_item_can_see_that_draining_has_begun() -> None:
    told = asyncio.Event()

    async def run(item: str) -> None:
        await lanes.draining.wait()
        told.set()

    lanes: Lanes[str] = Lanes(run)
    lanes.put("a", "first")
    await quiet()
    assert not told.is_set()
    assert await lanes.drain(grace=3600)
    assert told.is_set()


async def test_an_uncaught_exception_is_logged_and_ends_only_its_own_lane(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []

    async def run(item: str) -> None:
        if item == "broken":
            raise ZeroDivisionError
        ended.append(item)

    lanes = Lanes(run)
    for key, item in [("a", "broken"), ("a", "behind it"), ("b", "other"), ("b", "another")]:
        lanes.put(key, item)
    await quiet()
    lanes.put("a", "too late")
    await quiet()
    assert ended == ["other", "another"]
    assert "ZeroDivisionError" in caplog.text
    await lanes.cancel()


async def test_work_that_starts_during_a_drain_has_its_time_too() -> None:
    started: list[str] = []

    async def nothing(_: Item) -> None: ...

    lanes: Lanes[Item] = Lanes(nothing)

    async def returns() -> None:
        await asyncio.sleep(0)
        started.append("returns")

    async def runs() -> None:
        await asyncio.sleep(0)
        lanes.start(returns())

    lanes.start(runs())
    assert await lanes.drain(5)
    assert started == ["returns"]
