"""What `rasa-bridge dead` prints when it is interrupted, and what the first Ctrl+C does."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys

import pytest

from bridge.broker.topology import Topology
from bridge.commands import dead_run
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.replay import UNDECODABLE, Replay

AMONG = {"inbound": 2000, "replies": 1500}


def a_replay(found: int, replayed: int, *, is_read: bool) -> Replay:
    work = Replay("amqp://localhost/", Topology(), Filter())
    work.found, work.replayed, work.is_read = found, replayed, is_read
    return work


@pytest.mark.parametrize(
    ("work", "wanted", "printed"),
    [
        (a_replay(3000, 633, is_read=True), Filter(channel="x"), "633 replayed, 2,367 left\n"),
        (a_replay(700, 0, is_read=False), Filter(), "0 replayed, 3,500 left\n"),
        (
            a_replay(700, 0, is_read=False),
            Filter(channel="x"),
            "0 replayed, 3,500 left, matching or not\n",
        ),
    ],
    ids=["published", "read", "read with a filter"],
)
def test_an_interrupted_replay_prints_what_is_left(
    work: Replay, wanted: Filter, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dead_run._report_replay(work, wanted, AMONG)  # type: ignore[arg-type]
    assert capsys.readouterr().out == printed


def test_what_is_kept_is_not_left(capsys: pytest.CaptureFixture[str]) -> None:
    work = a_replay(10, 6, is_read=True)
    work.kept[UNDECODABLE] = 3
    dead_run._report_replay(work, Filter(), AMONG)  # type: ignore[arg-type]
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "6 replayed, 1 left"
    assert second.startswith("kept 3 dead letters")
    assert third.split() == ["3", "undecodable"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_the_work_which_ends_in_order(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped: list[bool] = []

    async def work() -> str:
        os.kill(os.getpid(), number)
        while not stopped:
            await asyncio.sleep(0.01)
        return "in order"

    assert dead_run._run(work(), lambda: stopped.append(True)) == "in order"
    assert "press Ctrl+C again" in capsys.readouterr().err


def test_beside_a_progress_bar_the_first_signal_prints_a_line_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        while not stopped:
            await asyncio.sleep(0.01)

    terminal, end = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with os.fdopen(end, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with dead_run._progress() as bar:
            bar("replaying", 200)()
            dead_run._run(work(), lambda: stopped.append(True))
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", os.read(terminal, 1 << 16).decode())
    os.close(terminal)
    assert dead_run.FINISHING in re.split("[\r\n]+", printed)
    assert len(dead_run.FINISHING) < 80


@pytest.mark.parametrize(("total", "shown"), [(100, False), (101, True)])
def test_only_long_work_has_a_progress_bar(
    total: int, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with dead_run._progress() as bar:
        tick = bar("reading", total)
        for _ in range(total):
            tick()
    errors = capsys.readouterr().err
    assert (f"{total}/{total}" in errors) == shown == bool(errors)
