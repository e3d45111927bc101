"""A broker user without the permission for requests: all works, but partitions move later."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.stream import trace_stream
from bridge.broker.topology import Topology
from tests.integration.test_urgent import HANDLER, Turns
from tests.support.backlog import Rest, enqueue
from tests.support.broker import Broker
from tests.support.processes import Process, Project
from tests.support.waiting import eventually

USER = "earlier"
PERMISSIONS = {
    "configure": r"^NAMESPACE\.(attempts|overflow|present|paused)\.",
    "write": r"^NAMESPACE\.((inbound|replies|dead|private|reports|reminders)$"
    r"|(attempts|overflow)\.)",
    "read": r"^NAMESPACE\.((inbound|overflow|present)\.|reminders\.due$|private$)",
}


def add_user(broker: Broker, namespace: str) -> str:
    """Add a user with the permissions that a worker needed before; return its URL."""
    allowed = {what: names.replace("NAMESPACE", namespace) for what, names in PERMISSIONS.items()}
    definitions = {
        "users": [{"name": USER, "password": USER, "tags": []}],
        "permissions": [{"user": USER, "vhost": "/", **allowed}],
    }
    broker.import_definitions(json.dumps(definitions))
    return f"amqp://{USER}:{USER}@127.0.0.1:{broker.port}/"


async def test_workers_without_the_permission_for_requests_hand_partitions_over_later(
    project: Project, broker: Broker, namespace: str, port: int
) -> None:
    project.write("handler.py", HANDLER.replace("{seconds}", "0.05"))
    project.write("credentials.yml", "rest:\ncallback:\n  url: http://127.0.0.1:9/\n")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", endpoints.replace(broker.url, "${AMQP_URL}"))
    topology = Topology(namespace, 4, 2, ["callback"])
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, topology)
        await connection.declare((), [trace_stream(topology)], passive=False)
    webhook = project.bridge(
        *("webhook", "-i", "127.0.0.1", "-p", str(port)), env={"AMQP_URL": broker.url}
    )
    await webhook.prints("listening on")
    await enqueue(broker.url, topology, 600, conversations=40, text="{}")
    earlier = await asyncio.to_thread(add_user, broker, namespace)

    async def worker() -> Process:
        process = project.bridge(
            *("worker", "--handler", "handler:handle", "--concurrency", "2"),
            env={"AMQP_URL": earlier},
        )
        await process.prints("consuming 4 partitions")
        return process

    first = await worker()
    await eventually(lambda: Turns(project.directory).number("callback") > 20)
    second = await worker()

    def pids() -> set[int]:
        return {turn[5] for turn in Turns(project.directory).all}

    rest = Rest(port)
    async with aiohttp.ClientSession() as http:
        while len(pids()) < 2:  # the second one has a partition
            rest.text = f"rest/{len(rest.latencies)}"
            await asyncio.wait_for(rest.ask(http, f"r{len(rest.latencies)}"), 60)
    await eventually(lambda: Turns(project.directory).number("callback") >= 600)
    Turns(project.directory).check()
    assert not rest.failures
    for process in (first, second):
        warnings = [line for line in process.log.splitlines() if "WARNING" in line]
        assert len(warnings) == 1, warnings
        assert f"{namespace}.handover.*" in warnings[0]
        process.terminate()
        assert await process.ends() == 0
