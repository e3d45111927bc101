"""Fixtures for tests with a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import Topology
from tests.support.dead_letters import Dead
from tests.support.processes import Project
from tests.support.service import FakeService


@pytest_asyncio.fixture
async def dead(project: Project, service: FakeService) -> AsyncIterator[Dead]:
    project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
    topology = Topology(project.namespace, 4, 2, ("callback",))
    async with connect(project.broker_url, "test") as connection:
        await ensure_topology(connection, topology)
        yield Dead(project, topology, await connection.confirm_channel())
