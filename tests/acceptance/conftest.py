"""Fixtures for the fault tests, and the table of their ledgers at the end of the run.

Tests with a real assistant need rasa; without it, pytest does not collect them.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.stack import IS_PRO
from tests.support.broker import Broker
from tests.support.load import Load
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.system import System

NEED_RASA = [
    "test_api.py",
    "test_assistant.py",
    "test_demo.py",
    "test_hosted.py",
    "test_lock_store.py",
    "test_model_server.py",
    "test_public_channels.py",
    "test_reminder_rules.py",
    "test_reminderbot.py",
    "test_reminders.py",
    "test_turn_errors.py",
    "test_turns.py",
    "test_worker.py",
    "test_wrapped.py",
]
NEED_RASA_3_6 = ["test_parity.py", "test_rasa_run.py", "test_socketio.py"]
"""They compare our channels, and our options, with those of rasa 3.6."""
HELPERS = ["channels.py", "public_channels.py", "rasa_channels.py"]
HAS_RASA = importlib.util.find_spec("rasa") is not None
NO_LICENCE = "RASA_LICENSE is not set: without a licence, rasa-pro neither trains nor loads a model"

if not HAS_RASA:
    collect_ignore = [*HELPERS, *NEED_RASA, *NEED_RASA_3_6]
elif IS_PRO:
    collect_ignore = NEED_RASA_3_6


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a model of rasa-pro, unless there is a licence."""
    if not IS_PRO or os.environ.get("RASA_LICENSE"):
        return
    for item in items:
        if item.path.name in NEED_RASA and item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.skip(reason=NO_LICENCE))


LEDGERS = pytest.StashKey[dict[str, Load]]()


@pytest.fixture
def ledgers(request: pytest.FixtureRequest) -> dict[str, Load]:
    """Loads by test name, for the table at the end of the run."""
    return request.config.stash.setdefault(LEDGERS, {})


@pytest.fixture
def system(
    project: Project, service: FakeService, ledgers: dict[str, Load], request: pytest.FixtureRequest
) -> System:
    system = System(project, service)
    ledgers[request.node.name] = system.load
    return system


@pytest.fixture
def own_system(
    own_broker: Broker,
    namespace: str,
    tmp_path: Path,
    service: FakeService,
    ledgers: dict[str, Load],
    request: pytest.FixtureRequest,
) -> Iterator[System]:
    """A system whose broker the test may stop and kill."""
    project = Project(tmp_path, own_broker.url, namespace)
    system = System(project, service)
    ledgers[request.node.name] = system.load
    yield system
    project.close()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print one line per ledger: what was sent and what became of it."""
    ledgers = config.stash.get(LEDGERS, {})
    rows = {name: load.summary() for name, load in ledgers.items() if load.ledger.run}
    if not rows:
        return
    terminalreporter.section("ledgers")
    terminalreporter.write_line("".join(f"{name:>8}" for name in next(iter(rows.values()))))
    for test, row in rows.items():
        terminalreporter.write_line(test)
        terminalreporter.write_line("".join(f"{count:>8}" for count in row.values()))
