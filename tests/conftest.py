"""Fixtures for all tests: a private broker, projects, fake services."""

from __future__ import annotations

import faulthandler
import functools
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from xdist.scheduler import LoadScopeScheduling

from bridge.telemetry.logs import Console
from tests.support import logged
from tests.support.broker import TOP, Broker, free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService

# Some machines turn bytecode off globally. Each of the several hundred processes that the tests
# start would then compile everything it imports: over two seconds of CPU time for a role, twenty
# for a worker with rasa.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


HANGS = 600.0
"""Seconds after which a test hangs: several times the longest one on a busy machine."""


class Scheduler(LoadScopeScheduling):
    """Gives each test to an idle pytest worker; tests that share a fixture of their file, together.

    Those run in order on one worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _has_module_fixtures(file) else nodeid


@functools.cache
def _has_module_fixtures(file: str) -> bool:
    return 'scope="module"' in (TOP / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)  # there are runs without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """Replace pytest-xdist's groups: with pytest 9 it loses their names and the tests' order."""
    return Scheduler(config, log)


@pytest.fixture(scope="session", autouse=True)
def _nothing_private_is_logged() -> Iterator[None]:
    """Fails in its teardown, which runs last, if a log contains anything private."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        logged.watch(monkeypatch)
        yield
    logged.check()


@pytest.fixture(autouse=True)
def _a_test_that_hangs_ends() -> Iterator[None]:
    """Kill the pytest worker of a test that hangs. pytest-xdist names it, and ends the run."""
    if "RASA_BRIDGE_CHAOS" not in os.environ:
        faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__ or sys.stderr)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def console(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Captured log lines of all levels, in the console format."""
    before = caplog.handler.formatter
    caplog.handler.setFormatter(Console("test"))
    caplog.set_level("DEBUG")
    yield caplog
    caplog.handler.setFormatter(before)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker, shared by all tests that do not stop it; each test uses its own namespace."""
    broker = make_broker()
    try:
        broker.start()
        # Each test leaves some thirty queues, thousands in the end. A tick of one takes 0.4 ms,
        # every five seconds by default.
        broker.set(quorum_tick_interval=3_600_000)
        yield broker
    finally:
        broker.close()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker that the test may stop, kill and restart."""
    broker = make_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def namespace() -> str:
    return f"test{secrets.token_hex(4)}"


@pytest.fixture
def project(broker: Broker, namespace: str, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, broker.url, namespace)
    yield project
    project.close()


@pytest_asyncio.fixture
async def service() -> AsyncIterator[FakeService]:
    service = FakeService()
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
def port() -> int:
    return free_port()
