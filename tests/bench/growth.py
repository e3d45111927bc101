"""Measures how the CPU time per message grows with partitions, conversations and backlog.

    python -m tests.bench.growth [--messages 2000] [--backlogs 5000 50000]

Starts a private broker, and the three roles with an echo handler. Prints the CPU time per message
of each process for 8, 32 and 99 partitions, for few and for many conversations, and then, with
32 partitions, for the first messages that are worked off from a backlog. Compare the figures of one
run only. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from pathlib import Path

import aiohttp

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.messages import InboundMessage, encode
from tests.bench import cpu
from tests.bench.pipeline import Competitor, start_bridge
from tests.support.broker import Broker, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PARTITIONS = (8, 32, 99)
BACKLOG_PARTITIONS = 32
CONVERSATIONS = (10, 100_000)
CONNECTIONS = 20
AT_ONCE = 200
"""Publishes of the backlog in flight."""
_numbers = itertools.count()


def new_project(broker: Broker, partitions: int) -> Project:
    project = Project(Path(tempfile.mkdtemp()), broker.url, f"growth{next(_numbers)}")
    project.write(
        "endpoints.yml",
        f"bridge:\n  url: {broker.url}\n  namespace: {project.namespace}\n"
        f"  partitions: {{inbound: {partitions}, replies: {partitions}}}\n",
    )
    return project


async def post(url: str, messages: int, conversations: int) -> None:
    """Post messages whose senders are spread over so many conversations."""
    left = iter(range(messages))

    async def talk(http: aiohttp.ClientSession) -> None:
        for n in left:
            body = {"sender": f"sender-{n * 7919 % conversations}", "message": str(n)}
            async with http.post(url, json=body) as response:
                assert response.status == 200, await response.text()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(talk(http) for _ in range(CONNECTIONS)))


def show(name: str, before: dict[str, float], after: dict[str, float], messages: int) -> None:
    figures = {role: (after[role] - before[role]) / messages * 1e6 for role in before}
    total = sum(figures.values())
    columns = " ".join(f"{role} {value:5.0f}" for role, value in figures.items())
    print(f"{name:36} {columns} sum {total:5.0f} µs per message", flush=True)


async def grow(broker: Broker, service: FakeService, partitions: int, messages: int) -> None:
    project = new_project(broker, partitions)
    try:
        running: Competitor = await start_bridge(project, service.url)
        await play(running, broker, service, 100, 10)
        for conversations in CONVERSATIONS:
            before, after = await play(running, broker, service, messages, conversations)
            many = min(conversations, messages)
            show(f"{partitions} partitions, {many} conversations", before, after, messages)
    finally:
        project.close()


async def play(
    running: Competitor, broker: Broker, service: FakeService, messages: int, conversations: int
) -> tuple[dict[str, float], dict[str, float]]:
    service.accepted.clear()
    before = cpu.used(running.processes, broker)
    await post(running.url, messages, conversations)
    await eventually(lambda: len(service.accepted) >= messages, patience=300)
    return before, cpu.used(running.processes, broker)


async def work_off(broker: Broker, service: FakeService, backlog: int, messages: int) -> None:
    """Work off a backlog; show what its first `messages` cost."""
    project = new_project(broker, BACKLOG_PARTITIONS)
    try:
        running = await start_bridge(project, service.url)
        await play(running, broker, service, 100, 10)
        for role in ("worker", "deliver"):
            running.processes[role].terminate()
            await running.processes[role].ends()
        await fill(broker, project.namespace, backlog)
        service.accepted.clear()
        command = [sys.executable, "-m", "bridge"]
        processes = {
            "worker": project.start("worker", [*command, "worker", "--handler", "echo:handle"]),
            "deliver": project.start("deliver", [*command, "deliver"]),
        }
        await eventually(lambda: len(service.accepted) >= 100, patience=300)
        began, before = len(service.accepted), cpu.used(processes, broker)
        await eventually(lambda: len(service.accepted) >= began + messages, patience=300)
        after = cpu.used(processes, broker)
        show(f"backlog of {backlog}", before, after, len(service.accepted) - began)
    finally:
        project.close()


async def fill(broker: Broker, namespace: str, backlog: int) -> None:
    topology = Topology(
        namespace, inbound_partitions=BACKLOG_PARTITIONS, reply_partitions=BACKLOG_PARTITIONS
    )
    left = iter(range(backlog))
    async with connect(broker.url, "backlog") as connection:
        channel = await connection.confirm_channel()

        async def publish() -> None:
            for n in left:
                message = InboundMessage(
                    id=f"backlog-{n}",
                    channel="callback",
                    sender_id=f"sender-{n % 1000}",
                    text=str(n),
                    input_channel="callback",
                    output_channel="callback",
                )
                exchange, key = topology.address(message, separate=True)
                await channel.publish(
                    exchange,
                    key,
                    encode(message),
                    kind="inbound",
                    message_id=message.id,
                    timeout=60,
                )

        await asyncio.gather(*(publish() for _ in range(AT_ONCE)))


async def measure(messages: int, backlogs: list[int]) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    try:
        for partitions in PARTITIONS:
            await grow(broker, service, partitions, messages)
        for backlog in backlogs:
            await work_off(broker, service, backlog, messages)
    finally:
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=2000, help="messages of each measurement")
    parser.add_argument("--backlogs", type=int, nargs="*", default=[5000, 50_000])
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.backlogs))
