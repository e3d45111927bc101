"""A pass of the event loop is long by its CPU time, whatever the clock of the wall says."""

from __future__ import annotations

import asyncio
import time

from bridge.processing.throttle import LONG_PASS, Throttle


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def passes_until_start(during: float, wait: float = 0.0) -> int:
    """Return the passes of the event loop from a request to the start."""
    started: list[None] = []
    throttle = Throttle(lambda: started.append(None))
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
