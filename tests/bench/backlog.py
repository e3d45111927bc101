"""Measures whether a deep backlog makes messages dearer, and what it takes of memory and disk.

    python -m tests.bench.backlog [--depths 10000 100000 1000000] [--messages 2000] [--rounds 3]

Fills the inbound queues of several namespaces on one broker, while no worker runs, and has `status`
and a monitor tell each depth. Then new `worker` and `deliver` processes work off some messages of
each namespace, in turn. Prints the CPU time per message of each process, the memory, and the disk
space. Compare the figures of one run only. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.messages import InboundMessage, encode
from tests.bench import cpu
from tests.bench.memory import broker_rss, rss
from tests.support.broker import Broker, ScriptBroker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PARTITIONS = 32
SENDERS = 10_000
AT_ONCE = 500
"""Publishes in flight."""
WARM_UP = 500
"""Messages that a new process works off before the measurement."""
DEPTH = re.compile(r'rasa_bridge_queue_messages\{[^}]*flow="inbound"[^}]*\} (\d\S*)')
"""In the exposition of a monitor."""
COMMAND = [sys.executable, "-m", "bridge"]


def new_project(broker: Broker, namespace: str, partitions: int = PARTITIONS) -> Project:
    project = Project(Path(tempfile.mkdtemp()), broker.url, namespace)
    project.write(
        "endpoints.yml",
        f"bridge:\n  url: {broker.url}\n  namespace: {namespace}\n"
        f"  partitions: {{inbound: {partitions}, replies: {partitions}}}\n",
    )
    return project


async def fill(broker: Broker, namespace: str, number: int) -> None:
    """Put messages on the inbound queues. Only their ids, senders and texts differ."""
    topology = Topology(namespace, inbound_partitions=PARTITIONS, reply_partitions=PARTITIONS)
    template = InboundMessage(
        id="ID",
        channel="callback",
        sender_id="SENDER",
        text="TEXT",
        input_channel="callback",
        output_channel="callback",
    )
    body = encode(template)
    keys = {sender: topology.inbound_key(f"sender-{sender}") for sender in range(SENDERS)}
    left = iter(range(number))
    async with connect(broker.url, "backlog") as connection:
        channel = await connection.confirm_channel()

        async def publish() -> None:
            for n in left:
                sender, id = n % SENDERS, f"backlog-{n}"
                own = body.replace(b'"ID"', b'"%s"' % id.encode())
                own = own.replace(b'"SENDER"', b'"sender-%d"' % sender)
                await channel.publish(
                    topology.inbound_exchange,
                    keys[sender],
                    own.replace(b'"TEXT"', b'"%d"' % n),
                    kind="inbound",
                    message_id=id,
                    timeout=60,
                )

        await asyncio.gather(*(publish() for _ in range(AT_ONCE)))


async def work_off(
    project: Project, broker: Broker, service: FakeService, messages: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Start a worker and a `deliver`; return µs of CPU time per message, and MB, by process."""
    service.accepted.clear()
    service.calls.clear()
    processes = {
        "worker": project.start("worker", [*COMMAND, "worker", "--handler", "echo:handle"]),
        "deliver": project.start("deliver", [*COMMAND, "deliver"]),
    }
    try:
        await eventually(lambda: len(service.accepted) >= WARM_UP, patience=300)
        began, before = len(service.accepted), cpu.used(processes, broker)
        await eventually(lambda: len(service.accepted) >= began + messages, patience=300)
        done, after = len(service.accepted) - began, cpu.used(processes, broker)
        memory = {name: rss(process) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            await process.ends()
    return {name: (after[name] - before[name]) / done * 1e6 for name in before}, memory


def disk(broker: Broker) -> float:
    """Return the MB that the broker has on disk."""
    if not isinstance(broker, ScriptBroker):
        return float("nan")
    used = subprocess.run(["du", "-sk", str(broker.data)], capture_output=True, text=True)
    return int(used.stdout.split()[0]) * 1024 / 1e6


async def status(project: Project) -> tuple[int, float]:
    """Return the depth that `status` tells, and how many seconds it takes."""
    began = time.perf_counter()
    process = project.start("status", [*COMMAND, "status", "--json"])
    await process.ends()
    took = time.perf_counter() - began
    snapshot = json.loads(next(line for line in process.log.splitlines() if line[:1] == "{"))
    inbound = snapshot["flows"][0]
    return inbound["ready"] + (inbound["unacked"] or 0), took


async def monitor(project: Project) -> tuple[int, float, float]:
    """Return the depth that a monitor's /metrics tells, the ms of an answer, and its MB."""
    port = free_port()
    process = project.start("monitor", [*COMMAND, "monitor", "-p", str(port)])
    took: list[float] = []
    try:
        await process.prints("monitoring")
        async with aiohttp.ClientSession() as http:

            async def depth() -> int | None:
                began = time.perf_counter()
                async with http.get(f"http://127.0.0.1:{port}/metrics") as response:
                    text = await response.text()
                took.append((time.perf_counter() - began) * 1000)
                found = DEPTH.search(text)
                return int(float(found[1])) if found else None

            told: int = await eventually(depth)
            for _ in range(20):
                await depth()
        return told, statistics.median(took), rss(process)
    finally:
        process.terminate()
        await process.ends()


class Depth:
    """A bridge with a backlog, and what was measured there."""

    def __init__(self, broker: Broker, depth: int) -> None:
        self.depth = depth
        self.broker = broker
        self.project = new_project(broker, f"depth{depth}")
        self.costs: dict[str, list[float]] = {}
        """Process → µs per message of each round."""

    async def prepare(self, service: FakeService) -> None:
        """Declare the queues, and fill them."""
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        self.project.write("echo.py", ECHO)
        declaring = self.project.start("topology", [*COMMAND, "topology", "declare"])
        assert await declaring.ends(patience=120) == 0, declaring.log
        began, space = time.perf_counter(), disk(self.broker)
        await fill(self.broker, self.project.namespace, self.depth)
        took, space = time.perf_counter() - began, disk(self.broker) - space
        memory = broker_rss(self.broker)
        print(
            f"{self.depth} queued in {took:.0f} s: {space:.0f} MB on disk, broker {memory:.0f} MB"
        )

    async def watch(self) -> None:
        """Print what `status` and a monitor tell."""
        told, took = await status(self.project)
        print(f"{self.depth}: status tells {told} in {took:.1f} s", end=", ")
        told, answer, memory = await monitor(self.project)
        print(f"a monitor {told} in {answer:.1f} ms ({memory:.0f} MB)", flush=True)

    async def play(self, service: FakeService, messages: int) -> None:
        used, memory = await work_off(self.project, self.broker, service, messages)
        memory["broker"] = broker_rss(self.broker)
        for name, value in {**used, "sum": sum(used.values())}.items():
            self.costs.setdefault(name, []).append(value)
        sizes = ", ".join(f"{name} {size:.0f}" for name, size in memory.items())
        print(f"{self.depth}: MB of memory: {sizes}", flush=True)

    def show(self) -> None:
        figures = (
            f"{name} {statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f})"
            for name, each in self.costs.items()
        )
        print(f"{self.depth}: µs per message: {', '.join(figures)}")


async def measure(depths: list[int], messages: int, rounds: int) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    backlogs = [Depth(broker, depth) for depth in depths]
    try:
        for backlog in backlogs:
            await backlog.prepare(service)
        for backlog in backlogs:
            await backlog.watch()
        for _ in range(rounds):
            for backlog in backlogs:
                await backlog.play(service, messages)
        for backlog in backlogs:
            backlog.show()
    finally:
        for backlog in backlogs:
            backlog.project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depths", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--messages", type=int, default=2000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(measure(options.depths, options.messages, options.rounds))
