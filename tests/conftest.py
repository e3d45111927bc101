"""Fixtures of all tests: a broker of our own, projects, fake services."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.logs import Console
from tests.support import logged
from tests.support.broker import Broker, free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup`: a file's tests share processes, so that they stay together.

    Those without I/O, and those of the connectors' tables, go to whoever has nothing to do.
    """
    alone = ("tests/unit/", "tests/integration/connectors/test_connectors.py", "test_parity.py")
    for item in items:
        if not any(part in item.nodeid for part in alone):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


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
