"""The number of queues that give a consumer messages, and when it is logged."""

from __future__ import annotations

import pytest

from bridge.telemetry.holdings import WINDOW, ActiveQueues


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queues(clock: Clock) -> ActiveQueues:
    return ActiveQueues(32, clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_a_queue_counts_while_its_last_message_is_recent(
    clock: Clock, queues: ActiveQueues
) -> None:
    queues.note("q.00")
    clock.now += WINDOW / 2
    queues.note("q.01")
    queues.note("q.01")
    assert queues.number() == 2
    clock.now += WINDOW / 2
    assert queues.number() == 1
    clock.now += WINDOW / 2
    assert queues.number() == 0


def test_a_changed_share_is_logged_once_per_window(
    clock: Clock, queues: ActiveQueues, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    queues.note("q.00")
    queues.report()
    assert lines(caplog) == ["messages from 1 of 32 queues"]
    queues.note("q.01")
    queues.report()
    assert lines(caplog) == []
    clock.now += WINDOW
    for queue in ("q.00", "q.01"):
        queues.note(queue)
    queues.report()
    assert lines(caplog) == ["messages from 2 of 32 queues"]


def test_an_unchanged_share_and_an_idle_consumer_are_not_logged(
    clock: Clock, queues: ActiveQueues, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    queues.note("q.00")
    queues.report()
    lines(caplog)
    clock.now += WINDOW
    queues.note("q.00")
    queues.report()
    clock.now += 2 * WINDOW
    queues.report()
    assert lines(caplog) == []
