"""Programs announce that they are ready, and others wait for that."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bridge.runtime import readiness
from bridge.runtime.processes import Program, Supervisor
from bridge.runtime.readiness import Listener
from tests.support.broker import TOP
from tests.support.waiting import eventually

SLOW = """
import pathlib, sys, time
sys.path.insert(0, {top!r})
from bridge.runtime import readiness
pathlib.Path("slow started").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
pathlib.Path("slow ready").touch()
readiness.tell(readiness.READY)
time.sleep(60)
"""
NEXT = """
import pathlib, sys, time
sys.path.insert(0, {top!r})
from bridge.runtime import readiness
pathlib.Path("next saw", str(pathlib.Path("slow ready").exists())).mkdir(parents=True)
readiness.tell(readiness.READY)
time.sleep(60)
"""


def program(name: str, code: str, after: tuple[str, ...] = ()) -> Program:
    return Program(name, [sys.executable, "-c", code.format(top=str(TOP))], after=after)


async def test_a_program_starts_after_those_that_it_needs_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    took: list[float] = []
    programs = [program("next", NEXT, ("slow",)), program("slow", SLOW)]
    supervisor = Supervisor(programs, 1, took.append)
    running = asyncio.ensure_future(supervisor.run())
    await eventually((tmp_path / "slow started").exists)
    assert not took
    (tmp_path / "go").touch()
    await eventually(lambda: bool(took))
    assert (tmp_path / "next saw" / "True").exists()
    supervisor._stopping.set()
    await running


async def test_it_is_announced_once_there_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(str(tmp_path / "socket"))
    monkeypatch.setenv(readiness.SOCKET, listener.address)
    problems = ["starting", "no broker"]
    await readiness.announce(lambda: problems.pop() if problems else None)
    await asyncio.wait_for(listener.ready.wait(), 10)
    listener.close()
    readiness.tell(readiness.STOPPING)  # no one listens any more: no error


async def test_without_a_listener_nothing_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(readiness.SOCKET, raising=False)
    await readiness.announce(lambda: "never ready")
