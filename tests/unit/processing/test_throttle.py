"""A pass of the event loop is long by its CPU time, whatever the clock of the wall says."""

from __future__ import annotations

import asyncio
import time

from bridge.processing.throttle import AT_ONCE, LIGHT_AFTER, LONG_PASS, Throttle


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def collecting(started: list[int]) -> Throttle:
    """Return a throttle that notes how much may start."""

    def start(number: int) -> bool:
        started.append(number)
        return True

    return Throttle(start)


async def passes_until_start(during: float, wait: float = 0.0) -> int:
    """Return the passes of the event loop from a request to the start."""
    started: list[int] = []
    throttle = collecting(started)
    throttle.soon()
    burn(during)
    time.sleep(wait)  # noqa: ASYNC251 - the process waits for a core
    passes = 0
    while not started:
        await asyncio.sleep(0)
        passes += 1
    return passes


async def test_work_starts_in_the_next_pass() -> None:
    assert await passes_until_start(0.0) == 1


async def test_work_waits_until_a_busy_loop_is_calm() -> None:
    assert await passes_until_start(2 * LONG_PASS) > 5


async def test_a_process_that_waits_for_a_core_is_not_busy() -> None:
    assert await passes_until_start(0.0, wait=3 * LONG_PASS) == 1


async def with_light_work(started: list[int]) -> Throttle:
    """Return the throttle of a process in which many passes were short."""
    throttle = collecting(started)
    assert not throttle.lets_start(), "nothing is known about the work yet"
    for _ in range(LIGHT_AFTER):
        throttle.soon()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return throttle


async def test_light_work_starts_at_once_and_several_pieces_in_one_pass() -> None:
    started: list[int] = []
    throttle = await with_light_work(started)
    assert set(started) == {1}
    assert throttle.lets_start()
    throttle.soon()
    assert not throttle.lets_start(), "other work waits for its turn"
    await asyncio.sleep(0)
    assert started[-1] > 1


async def test_light_work_does_not_make_a_pass_of_the_event_loop_long() -> None:
    throttle = await with_light_work([])
    assert throttle.lets_start()
    burn(AT_ONCE)
    assert not throttle.lets_start()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert throttle.lets_start()


async def test_after_one_long_pass_work_is_not_light_any_more() -> None:
    started: list[int] = []
    throttle = await with_light_work(started)
    assert throttle.lets_start()
    burn(2 * LONG_PASS)
    await asyncio.sleep(0)
    assert not throttle.lets_start()
    throttle.soon()
    await asyncio.sleep(0)
    assert started[-1] == 1
