"""The trace of 10,000 messages under kills: each hop is there, or marked missing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bridge.broker.connection import connect
from bridge.broker.stream_reading import read_stream
from bridge.broker.topology import Topology
from bridge.telemetry.trace.batch import decode
from bridge.telemetry.trace.search import Search
from bridge.telemetry.trace.story import Story, story_of
from tests.integration.test_trace import is_told
from tests.support.broker import Broker
from tests.support.load import HANDLER, Load
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.system import CHAOS
from tests.support.waiting import eventually

MESSAGES = 10_000
KILLS = 40
Start = Callable[[], Awaitable[Process]]


async def stories(project: Project, broker_url: str, ids: set[str]) -> dict[str, Story]:
    """Return the story of each id, from one pass over the stream."""
    bodies: dict[str, list[bytes]] = defaultdict(list)

    def take(body: bytes) -> None:
        for line in body.split(b"\n"):
            for id in {hop.id for hop in decode(line).all_hops()}:
                bodies[id].append(line)

    async with connect(broker_url, "test") as connection:
        await read_stream(connection, Topology(project.namespace), take)
    found = {}
    for id in ids & {*bodies}:
        search = Search(id)
        for body in bodies[id]:
            search.take(body)
        (found[id],) = [story_of(hops) for hops in search.messages()]
    return found


async def kill_one_after_another(running: list[tuple[Start, Process]], load: Load) -> None:
    """Kill a process, and start it again, each time that a share of the replies has arrived."""
    for number in range(KILLS + 1):
        goal = MESSAGES * number // (KILLS + 1)
        await eventually(lambda goal=goal: len(load.service.accepted) >= goal, patience=300)
        start, process = running.pop(0)
        process.kill()
        running.append((start, await start()))
    await eventually(lambda: len(load.service.accepted) >= MESSAGES, patience=300)


@pytest.mark.skipif(not CHAOS, reason="takes minutes; test_trace has the short form")
async def test_each_of_10000_messages_has_each_hop_or_a_mark(
    own_broker: Broker, namespace: str, service: FakeService, port: int, tmp_path: Path
) -> None:
    project = Project(tmp_path, own_broker.url, namespace)
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)

    async def worker() -> Process:
        return await project.worker("--handler", "handler:handle")

    async def webhook() -> Process:
        return await project.webhook(port)

    starts: list[Start] = [worker, project.deliver, webhook, worker, project.deliver]
    try:
        running = [*zip(starts, await asyncio.gather(*(start() for start in starts)), strict=True)]
        load = Load(project, service, [port])
        async with load.running(conversations=100, rate=60):
            await kill_one_after_another(running, load)
            await asyncio.to_thread(own_broker.kill)
            await asyncio.to_thread(own_broker.start)
            after = len(load.ledger.acknowledged) + 20
            await eventually(lambda: len(load.ledger.acknowledged) >= after, patience=300)
        ledger = await load.settled(patience=300)
        ids = {f"{entry.conversation}/{entry.number}" for entry in ledger.acknowledged}
        late = {f"{entry.conversation}/{entry.number}" for entry in ledger.acknowledged[-10:]}

        async def told() -> bool:
            found = await stories(project, own_broker.url, late)
            return {*found} == late and all(is_told(story, ok=True) for story in found.values())

        await eventually(told)
        found = await stories(project, own_broker.url, ids)
        complete = sum(is_told(story, ok=True) for story in found.values())
        print(f"{len(ids)} messages: {len(found)} found, {complete} with every hop")
        assert [story for story in found.values() if not is_told(story)] == []
        assert {*found} == ids
    finally:
        project.close()
