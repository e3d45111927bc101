"""`rasa-bridge trace` with real processes: every hop of a message is there, or marked missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from bridge.broker.connection import connect
from bridge.broker.stream_reading import read_stream
from bridge.broker.topology import Topology
from bridge.http.client import HttpClient
from bridge.telemetry.trace.search import Search
from bridge.telemetry.trace.story import Story, story_of
from tests.support.broker import Broker, free_port
from tests.support.cli import run_bridge
from tests.support.handlers import EVERYTHING
from tests.support.load import HANDLER, Load
from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

FIRST = ["accepted", "confirmed", "waited", "attempt 1", "turn"]


@pytest.fixture
def bridge(project: Project, service: FakeService) -> Project:
    project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
    project.write("handlers.py", EVERYTHING)
    return project


async def post(port: int, channel: str, **body: str) -> None:
    async with HttpClient() as http:
        await http.post_json(f"http://127.0.0.1:{port}/webhooks/{channel}/webhook", body)


async def trace(project: Project, *arguments: str) -> list[dict[str, Any]]:
    ran = await asyncio.to_thread(run_bridge, project.directory, "trace", "--json", *arguments)
    assert ran.returncode in (0, 1), ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def named(story: dict[str, Any], state: str = "ok") -> list[str]:
    return [row["name"] for row in story["rows"] if row["state"] == state]


async def settled(project: Project, id: str, ends: int) -> dict[str, Any]:
    """Wait until the trace of one message has so many ends, and every hop; return it.

    Each process writes once a second, so a later hop may be there before an earlier one.
    """

    async def found() -> dict[str, Any] | None:
        for story in await trace(project, id):
            absent = named(story, "missing") + named(story, "open")
            if named(story).count("settled") == ends and not absent:
                return story
        return None

    story: dict[str, Any] = await eventually(found)
    return story


async def test_a_message_is_found_by_each_of_its_ids(
    bridge: Project, service: FakeService, port: int
) -> None:
    statuses = [503, 200]
    service.answer = lambda _: web.json_response({}, status=statuses.pop(0) if statuses else 200)
    await asyncio.gather(
        bridge.webhook(port),
        bridge.worker("--handler", "handlers:handle"),
        bridge.deliver(),
    )
    await post(port, "callback", sender="ada", message="secret words", message_id="m1")
    story = await settled(bridge, "m1", ends=2)
    names = [row["name"] for row in story["rows"]]
    # RabbitMQ may deliver a message before the webhook has its confirm.
    assert sorted({*FIRST} - {*names}) == []
    assert names.index("accepted") == 0
    assert story["missing"] == 0
    assert named(story, "open") == []
    assert named(story, "failed") == ["attempt 1", "call 1"]
    calls = {row["name"]: row["what"] for row in story["rows"] if row["name"].startswith("call")}
    assert calls["call 1"].startswith("HTTP 503")
    assert calls["call 2"] == "HTTP 200"
    assert {row["process"].split()[0] for row in story["rows"] if row["process"]} == {
        *("webhook", "worker", "deliver")
    }
    assert [s["id"] for s in await trace(bridge, "ada")] == ["m1"]
    assert [s["id"] for s in await trace(bridge, "m1:0")] == ["m1"]
    assert await trace(bridge, "unknown") == []

    shown = await asyncio.to_thread(run_bridge, bridge.directory, "trace", "m1")
    assert shown.returncode == 0
    assert all(len(line) <= 80 for line in shown.stdout.splitlines())
    assert "secret words" not in shown.stdout + json.dumps(story)
    assert "HTTP 503" in shown.stdout

    monitor_port = free_port()
    monitor = bridge.bridge("monitor", "-p", str(monitor_port))
    await monitor.prints(f"on http://127.0.0.1:{monitor_port}/")
    origin = {"Origin": f"http://127.0.0.1:{monitor_port}"}
    async with HttpClient() as http:
        url = f"{origin['Origin']}/api/trace"
        answer = (await http.post_json(url, {"id": "m1:0"}, headers=origin)).json_object()
    assert [found["id"] for found in answer["stories"]] == ["m1"]

    await post(port, "rest", sender="ada", message="secret words", message_id="r1")
    story = await settled(bridge, "r1", ends=1)
    assert "collected" in named(story)
    assert named(story, "missing") + named(story, "open") == []


async def test_a_dead_letter_and_its_replay_are_hops(
    bridge: Project, service: FakeService, port: int
) -> None:
    await asyncio.gather(
        bridge.webhook(port), bridge.worker("--handler", "handlers:handle", "--retry-for", "0")
    )
    await post(port, "callback", sender="ada", message="fail", message_id="m1")
    story = await settled(bridge, "m1", ends=1)
    assert story["outcome"] == "dead-lettered"
    (row,) = [row for row in story["rows"] if row["name"] == "dead-lettered"]
    assert row["what"] == "failed, ValueError"
    replayed = await asyncio.to_thread(run_bridge, bridge.directory, "dead", "replay", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    story = await settled(bridge, "m1", ends=2)
    assert "replayed" in named(story)


async def stories(project: Project, broker_url: str, ids: set[str]) -> dict[str, Story]:
    """Return the story of each id, from one pass over the stream."""
    bodies: list[bytes] = []
    async with connect(broker_url, "test") as connection:
        await read_stream(connection, Topology(project.namespace), bodies.append)
    found = {}
    for id in ids:
        search = Search(id)
        for body in bodies:
            search.take(body)
        messages = search.messages()
        if messages:
            (found[id],) = [story_of(hops) for hops in messages]
    return found


def is_told(story: Story, ok: bool = False) -> bool:
    """Return whether each hop of a message with one reply is there, or marked.

    If neither the end of its turn nor anything of its reply is known, the end is marked as open.
    """
    own = {row.name.split()[0]: row.state for row in story.rows if not row.reply}
    reply = {row.name.split()[0] for row in story.rows if row.reply}
    is_complete = {"accepted", "confirmed", "attempt", "turn", "settled"} <= {*own}
    is_complete &= {"reply", "attempt", "call", "settled"} <= reply or own["turn"] != "ok"
    return is_complete and not (ok and {row.state for row in story.rows} & {"open", "missing"})


async def test_each_hop_is_there_or_marked_whatever_is_killed(
    own_broker: Broker, namespace: str, service: FakeService, port: int, tmp_path: Any
) -> None:
    async def slowly(call: Call) -> web.Response:
        await asyncio.sleep(0.02)
        return web.json_response({})

    service.answer = slowly
    project = Project(tmp_path, own_broker.url, namespace)
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    arguments = ("--handler", "handler:handle")
    try:
        _, worker, deliver, _, _ = await asyncio.gather(
            project.webhook(port),
            project.worker(*arguments),
            project.deliver(),
            project.worker(*arguments),
            project.deliver(),
        )
        load = Load(project, service, [port])
        async with load.running(conversations=10, rate=20):
            await eventually(lambda: len(service.accepted) >= 40)
            worker.kill()
            deliver.kill()
            await eventually(lambda: len(service.accepted) >= 80)
            await asyncio.to_thread(own_broker.kill)
            await asyncio.to_thread(own_broker.start)
            after = len(load.ledger.acknowledged) + 20
            await eventually(lambda: len(load.ledger.acknowledged) >= after)
        ledger = await load.settled()
        ids = {f"{entry.conversation}/{entry.number}" for entry in ledger.acknowledged}

        async def told() -> bool:
            found = await stories(project, own_broker.url, ids)
            late = {f"{e.conversation}/{e.number}" for e in ledger.acknowledged[-10:]}
            return {*found} >= late and all(is_told(found[id], ok=True) for id in late)

        await eventually(told)  # what was sent after the kills is complete
        found = await stories(project, own_broker.url, ids)
        assert [story for story in found.values() if not is_told(story)] == []
        complete = sum(is_told(story, ok=True) for story in found.values())
        assert {*found} == ids
        # A kill takes the hops of what is under way: on a busy machine, of most messages.
        assert complete >= 20
    finally:
        project.close()
