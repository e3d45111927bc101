from __future__ import annotations

import msgspec
import pytest

from bridge.monitor.clocks import LATEST, Clocks
from bridge.monitor.problems import notices
from bridge.monitor.snapshot import Process
from bridge.telemetry.reports import Consuming, HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_worker, see

NAME = "worker a:1:ff"


@pytest.mark.parametrize("ahead", [300.0, -300.0])
def test_the_times_of_a_clock_that_differs_are_corrected(ahead: float) -> None:
    times = {"why": "HTTP 500", "since": 90.0 + ahead, "next_at": 103.0 + ahead}
    held = {FIRST: HeldMessages(1, 95.0 + ahead)}
    consuming = Consuming("inbound", "", 0, 16, 0, True, held, **times)  # type: ignore[arg-type]
    report = a_worker("a", at=100.0 + ahead, started_at=60.0 + ahead, consuming=[consuming])
    clocks = Clocks()
    corrected = clocks.corrected(report, 100.0)
    (part,) = corrected.consuming
    assert (corrected.at, corrected.started_at) == (100.0, 60.0)
    assert (part.since, part.next_at, part.held[FIRST].oldest_at) == (90.0, 103.0, 95.0)
    assert clocks.ahead(NAME) == ahead


def test_a_time_that_is_not_known_stays_unknown() -> None:
    consuming = Consuming("inbound", "", 0, 16, 0, False, {})
    (part,) = Clocks().corrected(a_worker("a", at=400.0, consuming=[consuming]), 100.0).consuming
    assert (part.since, part.next_at) == (0.0, 0.0)


def test_small_differences_are_tolerated() -> None:
    clocks, report = Clocks(), a_worker("a", at=97.0)
    assert clocks.corrected(report, 100.0) is report
    assert clocks.ahead(NAME) == 0.0


def test_a_report_that_is_late_is_no_clock_that_is_behind() -> None:
    clocks = Clocks()
    for at in (98.0, 100.0):
        clocks.corrected(a_worker("a", at=at), at)
    late = a_worker("a", at=102.0)
    assert clocks.corrected(late, 200.0) is late
    assert clocks.ahead(NAME) == 0.0


def test_a_clock_that_was_set_is_noticed_after_a_few_reports() -> None:
    clocks = Clocks()
    for ahead in (-300.0, *[0.0] * LATEST):
        clocks.corrected(a_worker("a", at=100.0 + ahead), 100.0)
    assert clocks.ahead(NAME) == 0.0


def test_clocks_that_differ_are_one_line() -> None:
    processes = [
        Process(f"worker {n}", "worker", 9.0, [], 0, 0, 16, 0, clock_ahead=clock)
        for n, clock in enumerate((300.0, 0.0, -61.0))
    ]
    (line,) = notices(msgspec.structs.replace(see(), processes=processes))
    assert line.runbook == "clock-skew"
    assert line.text == (
        "clocks differ from this machine's: worker 0 5m ahead, worker 2 1m behind; waits, ages and"
        " traces are wrong, so sync them"
    )
