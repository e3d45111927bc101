"""Fixtures of all tests: a broker of our own, projects, fake services."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.broker import Broker, free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService


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
