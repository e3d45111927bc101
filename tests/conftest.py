"""Fixtures of all tests: a broker of our own, projects, fake services."""

from __future__ import annotations

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
from tests.support.broker import Broker, free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService

# Some machines switch bytecode off for everyone. Then each of the several hundred processes that
# the tests start compiles all that it imports: three seconds of CPU time for a role, twenty for
# a worker with rasa.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


class Scheduler(LoadScopeScheduling):
    """A file's tests share processes and follow one another, so that they stay together.

    Those without I/O, and those of the connectors' tables, go to whoever has nothing to do.
    """

    ALONE = ("tests/unit/", "tests/integration/connectors/test_connectors.py", "test_parity.py")

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if any(part in nodeid for part in self.ALONE) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """Not pytest-xdist's own groups: with pytest 9 it loses their names, and tests their order."""
    return Scheduler(config, log)


@pytest.fixture(scope="session", autouse=True)
def _nothing_private_is_logged() -> Iterator[None]:
    """Its teardown comes last, and fails if anything private is in anything that was logged."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        logged.watch(monkeypatch)
        yield
    logged.check()


@pytest.fixture
def console(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Captured lines of all levels, as they look on a console."""
    before = caplog.handler.formatter
    caplog.handler.setFormatter(Console("test"))
    caplog.set_level("DEBUG")
    yield caplog
    caplog.handler.setFormatter(before)


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """One broker for all tests that leave it alone; each takes a namespace of its own."""
    broker = make_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A broker that the test may stop, kill and start again."""
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
