"""`make simulate` over several processes: what it prints, and that nothing stops it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.simulation import runner
from tests.simulation.runner import Failure, simulate

ALL = range(7, 7 + 2 * runner.CHUNK + 1)
"""More than two processes run."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_instead(monkeypatch: pytest.MonkeyPatch, schedule: Callable[[int], Failure | None]) -> None:
    monkeypatch.setattr(runner, "_failure", schedule)


def test_every_seed_runs_once_and_failures_are_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def schedule(seed: int) -> Failure | None:
        os.write(1, f"<{seed}>".encode())
        return Failure(seed, "order", "it is not kept") if seed == 150 else None

    run_instead(monkeypatch, schedule)
    assert simulate(ALL, 2) == 1
    printed = capfd.readouterr().out
    assert all(printed.count(f"<{seed}>") == 1 for seed in ALL)
    assert "seed 150: order: it is not kept\n    make simulate SEED=150" in printed
    assert "201 schedules (seeds 7 to 207)" in printed


def test_a_process_that_dies_fails_one_schedule(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_instead(monkeypatch, lambda seed: os._exit(9) if seed == 42 else None)
    assert simulate(ALL, 2) == 1
    printed = capfd.readouterr().out
    assert "seed 42: the simulator itself failed: exit code 9" in printed
    assert "201 schedules (seeds 7 to 207)" in printed


def test_a_schedule_that_does_not_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "LONGEST", 0.5)
    run_instead(monkeypatch, lambda seed: time.sleep(600) if seed == 42 else None)
    assert simulate(ALL, 2) == 1
    printed = capfd.readouterr().out
    assert "seed 42: the simulator itself failed: it did not end" in printed
    assert "201 schedules" in printed


def test_an_interrupted_run_tells_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    parent = os.getpid()

    def schedule(seed: int) -> None:
        if seed == 42:
            os.kill(parent, signal.SIGINT)
            time.sleep(600)

    run_instead(monkeypatch, schedule)
    assert simulate(ALL, 1) == 130
    printed = capfd.readouterr().out
    found = re.search(r"go on with: make simulate FIRST=(\d+) N=(\d+)", printed)
    assert found is not None, printed
    first, number = map(int, found.groups())
    assert first <= 42
    assert first + number == ALL.stop
    assert f"{first - ALL.start} schedules (" in printed
