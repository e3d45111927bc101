"""A newer model takes over between turns: no turn runs on two, and no turn waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from os.path import exists
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from tests.support.waiting import eventually
from worker import models
from worker.models import Models


def write(folder: str, version: str) -> None:
    Path(folder, "model").write_text(version)


def read(folder: str) -> str:
    return Path(folder, "model").read_text()


class Server:
    """A model server; `versions` are what it has, None is an error, "" nothing new."""

    url = "http://models/"

    def __init__(self, *versions: str | None, every: float = 0.001) -> None:
        self.every = every
        self.versions = list(versions)
        self.folders: list[str] = []

    async def pull(self, folder: str) -> bool:
        self.folders.append(folder)
        version = self.versions.pop(0) if self.versions else ""
        if version is None:
            raise OSError("unreachable")
        if version:
            write(folder, version)
        return bool(version)


def an_agent(version: str) -> Any:
    return SimpleNamespace(model_id=version)


class Served:
    """`Models`, the agents that were closed, and what follows a server."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.models = Models(an_agent("1"), self._close)
        self.tasks: list[asyncio.Task[None]] = []

    async def _close(self, agent: Any) -> None:
        self.closed.append(agent.model_id)

    def follow(self, server: Server) -> None:
        async def load(agent: Any, folder: str) -> Any:
            version = read(folder)
            if version == "broken":
                raise ValueError("no model")
            return an_agent(version)

        self.tasks.append(asyncio.create_task(models.follow(self.models, server, load)))


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    yield served
    for task in served.tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_turn_keeps_the_agent_with_which_it_began(served: Served) -> None:
    with served.models.turn() as first:
        served.models.serve(an_agent("2"))
        with served.models.turn() as second:
            pass
        assert (first.model_id, second.model_id) == ("1", "2")
        await asyncio.sleep(0)
        assert served.closed == []
    await eventually(lambda: served.closed == ["1"], "closed after its last turn")


async def test_an_agent_without_turns_is_closed_at_once_and_the_serving_one_never(
    served: Served,
) -> None:
    with served.models.turn():
        pass
    served.models.serve(an_agent("2"))
    await eventually(lambda: served.closed == ["1"])
    with served.models.turn():
        pass
    await asyncio.sleep(0)
    assert served.closed == ["1"]


async def test_newer_models_take_over_and_failures_leave_the_old_one(served: Served) -> None:
    server = Server("", None, "broken", "2", "", "3")
    served.follow(server)
    await eventually(lambda: served.models.agent.model_id == "3")
    await eventually(lambda: served.closed == ["1", "2"])
    assert not any(map(exists, server.folders))


async def test_without_an_interval_the_model_is_pulled_once(served: Served) -> None:
    server = Server("2", every=0)
    served.follow(server)
    await served.tasks[0]
    assert server.folders == []


async def test_the_first_model_is_awaited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "LONGEST_PAUSE", 0.001)
    await models.first(Server(None, "", "", "1", every=60), str(tmp_path))
    assert read(str(tmp_path)) == "1"
    assert caplog.text.count("the model server has no model yet: asking again every 0.001 s") == 1
