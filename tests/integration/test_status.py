"""`status` and `top` with a real broker and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.http.client import HttpClient
from bridge.monitor.management import Management
from tests.support.broker import TOP, ScriptBroker, free_port
from tests.support.cli import run_bridge
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

HANDLER = """
import asyncio
import pathlib

async def handle(message, output):
    while message.text == "wait" and not pathlib.Path("go").exists():
        await asyncio.sleep(0.02)
    await output.send_text_message(message.sender_id, "done")
"""


@pytest.fixture
def bridge(project: Project, service: FakeService) -> Project:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", HANDLER)
    return project


async def status(project: Project, *options: str) -> tuple[int, dict[str, Any], list[str]]:
    """Return the exit code, the JSON and the problems of `status`."""
    ran = await asyncio.to_thread(run_bridge, project.directory, "status", "--json", *options)
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout), ran.stderr.splitlines()


async def start(project: Project, port: int, workers: int) -> None:
    await asyncio.gather(
        project.webhook(port),
        project.deliver(),
        *(project.worker("--handler", "handler:handle") for _ in range(workers)),
    )


async def say(port: int, *texts: str) -> None:
    async with HttpClient() as http:
        for n, text in enumerate(texts):
            body = {"sender": f"sender {n}", "message": text}
            await http.post_json(f"http://127.0.0.1:{port}/webhooks/callback/webhook", body)


async def test_status_shows_depth_age_holders_and_rates(bridge: Project, port: int) -> None:
    await start(bridge, port, workers=2)
    await say(port, *["wait"] * 8)

    async def seen() -> dict[str, Any] | None:
        code, found, problems = await status(bridge)
        # A process that is late with its first report is a problem, too.
        is_well = (code, problems) == (0, [])
        return found if is_well and found["flows"][0]["unacked"] == 8 else None

    found = await eventually(seen, "all messages are in flight")
    inbound = found["flows"][0]
    assert found["sources"] == ["amqp", "reports"]
    assert inbound["ready"] == 0
    assert 0 < inbound["oldest_age"] < 60
    assert inbound["published"] > 0
    workers = {p["name"]: p["partitions"] for p in found["processes"] if p["role"] == "worker"}
    assert len(workers) == 2
    assert sum(workers.values()) == 4
    assert {p["holder"] for p in inbound["partitions"]} <= set(workers)

    limits = ("--max-depth", "7", "--max-age", "0s")
    code, _, problems = await status(bridge, *limits)
    assert code == 1
    assert problems[0] == "inbound: 8 messages, limit 7"
    assert re.fullmatch(r"inbound: oldest message is \w+ old, limit 0s", problems[1])

    bridge.write("go", "")

    async def settled() -> bool:
        code, found, _ = await status(bridge, *limits)
        return code == 0 and found["flows"][1]["settled"] > 0

    await eventually(settled, "everything is delivered and no limit is exceeded")


async def test_status_without_a_consumer_fails_and_counts_waiting_messages(
    bridge: Project, port: int
) -> None:
    await bridge.webhook(port)
    await say(port, *["hello"] * 5)
    ran = await asyncio.to_thread(run_bridge, bridge.directory, "status")
    assert ran.returncode == 1
    assert "! inbound: no consumer, 5 messages wait; start a worker" in ran.stdout
    assert "! replies callback: no consumer; start a deliver process" in ran.stdout
    assert re.search(r"^inbound +5 +0 ", ran.stdout, re.MULTILINE)
    assert max(map(len, ran.stdout.splitlines())) <= 80


async def test_status_before_anything_is_declared_says_what_to_do(bridge: Project) -> None:
    code, found, problems = await status(bridge)
    assert code == 1
    assert len(found["missing"]) == 27
    (line,) = problems
    assert line.endswith("start the roles, or run: rasa-bridge topology declare")


def test_status_without_a_broker_is_one_line(bridge: Project) -> None:
    endpoints = f"bridge:\n  url: amqp://guest:guest@127.0.0.1:{free_port()}/\n"
    bridge.write("endpoints.yml", endpoints)
    ran = run_bridge(bridge.directory, "status")
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("rasa-bridge: no broker: ")
    assert line.endswith("start it, or fix bridge.url")


async def test_status_counts_dead_letters_and_fails_above_the_limit(
    bridge: Project, port: int
) -> None:
    await start(bridge, port, workers=1)
    async with connect(bridge.broker_url, "test") as connection:
        channel = await connection.confirm_channel()
        body = b"not a message"
        await channel.publish(
            f"{bridge.namespace}.inbound", "00/4", body, kind="inbound", message_id="x", timeout=5
        )

    async def dead() -> bool:
        code, found, _ = await status(bridge)
        return code == 0 and bool(found["dead"] == {"inbound": 1, "replies": 0})

    await eventually(dead, "the message is dead-lettered, and nothing else is wrong")
    code, _, (problem,) = await status(bridge, "--max-dead", "0")
    assert (code, problem) == (1, "dead letters: 1, limit 0; run: rasa-bridge dead list")


async def test_top_shows_the_queues_until_it_is_stopped(bridge: Project, port: int) -> None:
    await start(bridge, port, workers=1)
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    top = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "bridge", "top"],
        cwd=bridge.directory,
        env={**environment, "PYTHONPATH": str(TOP)},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(master, lambda: shown.extend(os.read(master, 65536)))
    try:
        await eventually(lambda: b"reports of 3 processes" in shown, "all three report")
        assert b"replies callback" in shown
        top.terminate()
        assert await asyncio.to_thread(top.wait, 20) == 0
    finally:
        loop.remove_reader(master)
        top.kill()
        os.close(master)


@pytest.fixture(scope="module")
def managed() -> Iterator[ScriptBroker]:
    broker = ScriptBroker(management=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(timeout=5) as http:
        yield http


async def test_the_management_api_has_the_unacked_count_of_a_consumer_that_does_not_report(
    managed: ScriptBroker, http: HttpClient, bridge: Project
) -> None:
    text = (bridge.directory / "endpoints.yml").read_text()
    bridge.write("endpoints.yml", text.replace(bridge.broker_url, managed.url))
    declared = await asyncio.to_thread(run_bridge, bridge.directory, "topology", "declare")
    assert declared.returncode == 0, declared.stderr
    async with connect(managed.url, "silent") as connection:
        publishing = await connection.confirm_channel()
        await publishing.publish(
            f"{bridge.namespace}.inbound", "00/4", b"{}", kind="inbound", message_id="x", timeout=5
        )
        consuming = await connection.consumer_channel(10)
        for n in range(4):
            await consuming.consume(f"{bridge.namespace}.inbound.{n:02}", lambda delivery: None)

        async def told() -> bool:
            _, found, _ = await status(bridge, "--management-url", managed.management_url)
            return (found["flows"][0]["unacked"], found["sources"]) == (1, ["amqp", "management"])

        await eventually(told, "the API's statistics are collected")
    answer = await Management(http, managed.management_url, managed.url).ask(bridge.namespace)
    assert answer is not None
    assert answer.alarms == []
    queues = list(Topology(bridge.namespace, 4, 2, ["callback"]).queues())
    stream = f"{bridge.namespace}.trace"
    assert set(answer.depths) == {stream, *(queue.name for queue in queues)}
    assert answer.unbound(queues) == []

    # An administrator unbinds a queue.
    at_api = ("--management-url", managed.management_url)
    async with connect(managed.url, "administrator") as connection:
        await connection.unbind([queues[-1]])

    async def seen() -> bool:
        _, found, problems = await status(bridge, *at_api)
        said = any("without their binding" in problem for problem in problems)
        return found["unbound"] == [queues[-1].name] and said

    await eventually(seen)
    checked = await asyncio.to_thread(run_bridge, bridge.directory, "topology", "check", *at_api)
    assert checked.returncode == 1
    assert f"1 queues are not bound, such as {queues[-1].name}" in checked.stderr
    await asyncio.to_thread(run_bridge, bridge.directory, "topology", "declare")
    checked = await asyncio.to_thread(run_bridge, bridge.directory, "topology", "check", *at_api)
    assert (checked.returncode, checked.stdout.splitlines()[1]) == (0, "every queue is bound")


async def test_the_management_api_of_another_broker_is_ignored(
    managed: ScriptBroker, http: HttpClient, bridge: Project
) -> None:
    """Its queues may have the same names, and its figures would be taken for ours."""
    await asyncio.to_thread(run_bridge, bridge.directory, "topology", "declare")
    _, found, problems = await status(bridge, "--management-url", managed.management_url)
    assert found["sources"] == ["amqp"]
    assert not any("binding" in problem for problem in problems)
    management = Management(http, managed.management_url, managed.url)
    assert await management.ask(f"{bridge.namespace}.", "amq.gen-of-another") is None
    assert management.problem == "the API is that of another broker"


async def test_a_management_api_that_fails_or_refuses_is_ignored(
    managed: ScriptBroker, http: HttpClient
) -> None:
    unused = Management(http, f"http://127.0.0.1:{free_port()}", managed.url)
    assert await unused.ask("x") is None
    assert "no connection" in unused.problem or "127.0.0.1" in unused.problem
    stranger = managed.url.replace("guest:guest", "stranger:secret")
    refused = Management(http, managed.management_url, stranger)
    assert await refused.ask("x") is None
    assert "401" in refused.problem
    assert "secret" not in refused.problem
