"""A deadline ends its block, or the process; it counts only time in which the loop ran."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from bridge.errors import DeadlineExceeded
from bridge.runtime import health
from bridge.runtime.deadline import Countdown, deadline
from tests.support.virtual_time import virtually
from tests.support.waiting import eventually


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(health, "process", health.Health(codes.append))
    health.process.check(lambda: None)
    return codes


async def test_a_block_that_ends_in_time_passes_and_leaves_no_timer(ends: list[int]) -> None:
    with deadline(0.05):
        pass
    await asyncio.sleep(0.1)
    assert ends == []


async def test_a_block_that_takes_too_long_is_cancelled(ends: list[int]) -> None:
    with pytest.raises(DeadlineExceeded) as raised, deadline(0.05):
        await asyncio.Event().wait()
    assert raised.value.seconds == 0.05
    assert ends == []


async def test_an_error_of_the_block_passes(ends: list[int]) -> None:
    with pytest.raises(LookupError), deadline(0.05):
        raise LookupError


async def test_a_cancellation_from_outside_passes(ends: list[int]) -> None:
    async def run() -> None:
        with deadline(60):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_block_that_ignores_its_cancellation_ends_the_process_after_it_is_not_ready(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.deadline.PROMPT", 0.05)
    over = asyncio.Event()

    async def deaf() -> None:
        with deadline(0.05, clean_up=0.2):
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue

    task = asyncio.ensure_future(deaf())
    await eventually(lambda: health.process.problem() is not None)
    assert ends == []
    await eventually(lambda: bool(ends))
    assert ends == [health.STALLED]
    over.set()
    await task


async def test_a_slow_clean_up_within_its_time_ends_nothing(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.deadline.PROMPT", 0.05)

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)
            assert health.process.problem() is not None

    with pytest.raises(DeadlineExceeded), deadline(0.05, clean_up=5):
        await slow()
    assert health.process.problem() is None
    assert ends == []


async def test_no_time_passes_while_it_is_paused(ends: list[int]) -> None:
    paused = True

    async def resume() -> None:
        nonlocal paused
        await asyncio.sleep(0.2)
        paused = False

    resuming = asyncio.ensure_future(resume())
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded), deadline(0.02, paused=lambda: paused):
        await asyncio.Event().wait()
    assert time.monotonic() - began > 0.2
    await resuming


async def test_a_blocked_loop_does_not_spend_the_time_of_other_blocks(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.deadline.STEP", 0.1)
    with deadline(0.4):
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - blocks the loop, as a bad turn does
        await asyncio.sleep(0.05)


async def test_blocks_that_run_together_have_one_timer(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[float] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def counted(delay: float, *rest: Any) -> asyncio.TimerHandle:
        timers.append(delay)
        return call_later(delay, *rest)

    monkeypatch.setattr(loop, "call_later", counted)

    async def block() -> None:
        with deadline(60):
            await asyncio.sleep(0)

    for _ in range(10):
        await asyncio.gather(*[block() for _ in range(10)])
    assert len(timers) <= 1


@virtually
async def test_blocks_that_begin_at_any_time_end_at_theirs() -> None:
    loop = asyncio.get_running_loop()
    took: dict[tuple[float, float], float] = {}

    async def block(wait: float, seconds: float) -> None:
        await asyncio.sleep(wait)
        began = loop.time()
        with pytest.raises(DeadlineExceeded), deadline(seconds):
            await asyncio.Event().wait()
        took[wait, seconds] = loop.time() - began

    cases = itertools.product((0.0, 0.3, 1.0, 7.9), (0.4, 1.0, 1.7, 15.0))
    await asyncio.gather(*[block(*case) for case in cases])
    assert len(took) == 16
    for (_, seconds), each in took.items():
        assert each == pytest.approx(seconds, abs=1e-6)


async def test_expired_is_called_when_the_time_is_over(ends: list[int]) -> None:
    calls: list[str] = []
    expired = deadline(0.02, expired=lambda: calls.append("expired"))
    with pytest.raises(DeadlineExceeded), expired:
        await asyncio.Event().wait()
    assert calls == ["expired"]


async def test_each_block_has_all_of_its_time_although_one_timer_counts_for_all(
    ends: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.deadline.STEP", 0.1)

    async def block() -> float:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded), deadline(0.2):
            await asyncio.Event().wait()
        return time.monotonic() - began

    first = asyncio.ensure_future(block())
    await asyncio.sleep(0.05)
    assert min(await asyncio.gather(first, block())) > 0.19


@virtually
async def test_a_countdown_ends_at_its_time_and_can_be_used_again() -> None:
    loop = asyncio.get_running_loop()
    over: list[float] = []
    countdown = Countdown(lambda: over.append(round(loop.time() - began, 6)))
    for seconds in (0.4, 1.0, 1.7, 15.0):
        began = loop.time()
        countdown.start(60, began)
        countdown.stop()
        countdown.start(seconds, began)
        await asyncio.sleep(20.3)
        countdown.stop()
    assert over == [0.4, 1.0, 1.7, 15.0]


@virtually
async def test_a_countdown_that_was_stopped_does_not_end() -> None:
    loop = asyncio.get_running_loop()
    over: list[float] = []
    countdown = Countdown(lambda: over.append(loop.time()))
    for seconds in (0.5, 1.5, 15.0):
        countdown.start(seconds, loop.time())
        await asyncio.sleep(seconds - 0.1)
        countdown.stop()
        await asyncio.sleep(3)
    assert not over


async def test_a_blocked_loop_does_not_spend_the_time_of_a_countdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.runtime.deadline.STEP", 0.1)
    over: list[None] = []
    countdown = Countdown(lambda: over.append(None))
    countdown.start(5.0, asyncio.get_running_loop().time())
    await asyncio.sleep(0)
    time.sleep(6)  # noqa: ASYNC251 - blocks the loop, as a bad turn does
    await asyncio.sleep(0.05)
    countdown.stop()
    assert not over
