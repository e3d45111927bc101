"""The watchdog names what blocks the event loop, and ends a process that is stuck."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator

import pytest

from bridge.runtime import health, watchdog
from bridge.runtime.watchdog import Watchdog
from bridge.runtime.work import Work, working
from tests.support.fakes import an_inbound
from tests.support.waiting import eventually


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(health, "process", health.Health(codes.append))
    monkeypatch.setattr(watchdog, "INTERVAL", 0.02)
    return codes


@pytest.fixture
def convicted() -> list[Work]:
    return []


@pytest.fixture
async def watching(ends: list[int], convicted: list[Work]) -> AsyncIterator[Watchdog]:
    """Reports after 0.2 s of silence, ends the process after one second."""
    dog = Watchdog(heartbeat=0.1, longest=1.0, convict=convicted.append)
    dog.start()
    yield dog
    dog.stop()


def block(seconds: float) -> None:
    time.sleep(seconds)


async def blocking_turn(work: Work, seconds: float) -> None:
    with working(work):
        await asyncio.sleep(0)
        block(seconds)


async def test_a_loop_that_runs_is_never_reported(watching: Watchdog, ends: list[int]) -> None:
    for _ in range(20):
        await asyncio.sleep(0.03)
        assert health.process.stall == ""
    assert ends == []


async def test_a_message_that_blocks_the_loop_is_named_with_its_stack_and_convicted(
    watching: Watchdog,
    convicted: list[Work],
    ends: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    blocker, other = Work("anna 1", an_inbound("1")), Work("bert 2", an_inbound("2"))
    with working(other):
        await asyncio.create_task(blocking_turn(blocker, 0.5))
    assert blocker.blocked
    assert not other.blocked
    await eventually(lambda: convicted == [blocker])
    assert "a message blocks the event loop" in caplog.text
    assert "in block" in caplog.text
    assert ends == []


async def test_a_task_that_the_turn_has_started_counts_as_the_turn(
    watching: Watchdog, convicted: list[Work]
) -> None:
    work = Work("anna 1")

    async def child() -> None:
        await asyncio.sleep(0)
        block(0.5)

    with working(work):
        await asyncio.create_task(child())
    await eventually(lambda: convicted == [work])


async def test_without_a_known_culprit_all_running_work_is_suspected_and_none_convicted(
    watching: Watchdog, convicted: list[Work], caplog: pytest.LogCaptureFixture
) -> None:
    work = Work("anna 1")

    async def waits() -> None:
        with working(work):
            await asyncio.sleep(0.6)

    turn = asyncio.create_task(waits())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(block, 0.5)
    await turn
    assert work.blocked
    assert convicted == []
    assert "a message may block the event loop" in caplog.text


async def test_the_process_is_alive_again_once_the_loop_runs_again(
    watching: Watchdog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    block(0.5)
    assert health.process.stall
    await eventually(lambda: not health.process.stall)
    assert "the event loop runs again" in caplog.text


async def test_a_loop_that_stands_still_for_too_long_ends_the_process(
    watching: Watchdog, ends: list[int]
) -> None:
    block(1.5)
    assert ends[0] == health.STALLED


async def test_it_is_reported_before_the_process_ends_however_short_the_limit(
    ends: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    dog = Watchdog(heartbeat=0.2, longest=0.01)
    dog.start()
    block(0.8)
    dog.stop()
    assert ends
    assert caplog.text.index("is silent") < caplog.text.index("the process ends")


async def test_after_stop_nothing_is_watched(ends: list[int]) -> None:
    dog = Watchdog(heartbeat=0.1, longest=0.3)
    dog.start()
    dog.stop()
    block(0.8)
    assert ends == []
    assert health.process.stall == ""
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
