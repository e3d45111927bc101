"""A replay or purge on the page that is stopped repeats and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bridge.broker.connection import connect
from tests.integration.test_monitor import Monitor, start
from tests.support.dead_letters import Dead, talk
from tests.support.waiting import eventually

LETTERS = 4000


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def begun(monitor: Monitor, action: str, what: str, **body: Any) -> asyncio.Future[Any]:
    """Start a pass, and return its answer once it has replayed or deleted something."""
    answer = asyncio.ensure_future(monitor.dead(action, filter={}, **body))

    async def is_under_way() -> bool:
        async with monitor.http.get(f"{monitor.base}/api/dead/progress") as response:
            progress = await response.json()
        return bool(progress["what"] == what and progress["done"] > 0)

    await eventually(is_under_way)
    return answer


async def ids_of_all(dead: Dead) -> list[str]:
    """Return the id of each message that is on its queue or a dead letter, sorted."""
    waiting: list[str] = []
    async with connect(dead.project.broker_url, "test") as connection:
        channel = await connection.consumer_channel(prefetch=0)
        total = await dead.waiting()
        for queue in dead.topology.inbound_queues():
            await channel.consume(queue.name, lambda d: waiting.append(d.message_id or ""))
        await eventually(lambda: len(waiting) >= total)
        await channel.close()
    return sorted(waiting + await dead.ids())


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
async def test_a_replay_that_is_stopped_repeats_and_loses_nothing(
    dead: Dead, http: aiohttp.ClientSession, how: str
) -> None:
    messages = talk(100, LETTERS // 100)
    await dead.put_all(messages)
    monitor = await start(dead.project, http)
    answer = await begun(monitor, "replay", "replaying")
    if how == "stop":
        await monitor.dead("stop")
    else:
        monitor.process.terminate()
    done = await answer
    assert 0 < done["replayed"] < LETTERS
    assert done["replayed"] + done["left"] == LETTERS
    if how == "SIGTERM":
        assert await monitor.process.ends() == 0
    assert await dead.waiting() == done["replayed"]
    assert await ids_of_all(dead) == sorted(message.id for message in messages)


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
async def test_a_purge_that_is_stopped_leaves_the_rest_in_order(
    dead: Dead, http: aiohttp.ClientSession, how: str
) -> None:
    await dead.put_all(talk(100, LETTERS // 100))
    before = await dead.ids()
    monitor = await start(dead.project, http)
    answer = await begun(monitor, "purge", "deleting", most=LETTERS)
    if how == "stop":
        await monitor.dead("stop")
    else:
        monitor.process.terminate()
    done = await answer
    assert done["stopped"]
    assert 0 < done["deleted"] < LETTERS
    if how == "SIGTERM":
        assert await monitor.process.ends() == 0
    left = await dead.ids()
    assert len(left) == LETTERS - done["deleted"]
    kept = set(left)
    assert left == [id for id in before if id in kept]
