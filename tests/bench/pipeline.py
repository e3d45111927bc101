"""Compares the bridge with peers: CPU time per message of every process, and latency.

    python -m tests.bench.pipeline [--messages 600] [--rounds 3] [--profile webhook]

One broker serves all of them in the same session: the bridge, the pipeline that one would write by
hand (`peers/bare.py`), and FastStream. Their rounds are interleaved. A message is posted over
loopback, echoed by a worker, and delivered to a service over HTTP. Prints the median of the rounds
and their spread, and writes build/bench/pipeline.json; `--chart FILE` also draws an SVG image. A
round is disturbed if other processes took more than a tenth of the machine; it is marked, and
counts only if there is no other. `--profile ROLE` has py-spy watch a role of the bridge.
Compare figures of one run only. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.bench import cpu
from tests.bench.chart import chart
from tests.support.broker import TOP, Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

ROLES = ("webhook", "worker", "deliver")
PEERS = {"bare aio-pika": "bare.py", "FastStream": "fast_stream.py"}
BRIDGE = "rasa-channel-bridge"
BENCH = TOP / ".venv-bench" / "bin"
OUTPUT = TOP / "build" / "bench"
CONNECTIONS = 20
WARM_UP = 100
FOREIGN = 0.1
"""Share of the machine that other processes may take in a round."""


class Round(NamedTuple):
    """One round of one system. CPU times are in µs per message, latencies in ms."""

    cpu: dict[str, float]
    """Role, `broker` and `sum` → CPU time."""
    ack_p50: float
    ack_p99: float
    rate: float
    """Messages delivered per second."""
    disturbed: bool


class Competitor(NamedTuple):
    """A running pipeline."""

    name: str
    url: str
    processes: dict[str, Process]


async def start_bridge(project: Project, service: str) -> Competitor:
    """Start the three roles as users do, each in an interpreter for itself."""
    project.write("credentials.yml", f"callback:\n  url: {service}\n")
    project.write("echo.py", ECHO)
    port = free_port()
    command = [sys.executable, "-m", "bridge"]
    options = {
        "webhook": ("-i", "127.0.0.1", "-p", str(port)),
        "worker": ("--handler", "echo:handle"),
        "deliver": (),
    }
    processes = {role: project.start(role, [*command, role, *options[role]]) for role in ROLES}
    await processes["webhook"].prints("listening on")
    await processes["worker"].prints("consuming")
    await processes["deliver"].prints("consuming")
    return Competitor(BRIDGE, f"http://127.0.0.1:{port}/webhooks/callback/webhook", processes)


async def start_peer(project: Project, name: str, service: str) -> Competitor:
    """Start a peer's three roles in its environment."""
    port = free_port()
    env = {"AMQP_URL": project.broker_url, "PORT": str(port), "SERVICE_URL": service}
    script = str(TOP / "tests" / "bench" / "peers" / PEERS[name])
    command = [str(BENCH / "python"), script]
    processes = {role: project.start(f"{name} {role}", [*command, role], env) for role in ROLES}
    for process in processes.values():
        await process.prints("ready")
    return Competitor(name, f"http://127.0.0.1:{port}/webhooks/callback/webhook", processes)


async def post(url: str, messages: int) -> list[float]:
    """Post messages over `CONNECTIONS` connections; return the latencies in ms."""
    latencies: list[float] = []
    left = iter(range(messages))

    async def talk(http: aiohttp.ClientSession, sender: int) -> None:
        for n in left:
            body = {"sender": f"sender-{sender}", "message": str(n)}
            began = time.perf_counter()
            async with http.post(url, json=body) as response:
                await response.read()
                assert response.status == 200, await response.text()
            latencies.append((time.perf_counter() - began) * 1000)

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(talk(http, sender) for sender in range(CONNECTIONS)))
    return latencies


async def play(running: Competitor, service: FakeService, broker: Broker, messages: int) -> Round:
    """Run one round: post, and wait for the last reply."""
    service.accepted.clear()
    before = cpu.used(running.processes, broker)
    busy, own, began = cpu.busy(), time.process_time(), time.perf_counter()
    latencies = await post(running.url, messages)
    await eventually(lambda: len(service.accepted) >= messages, patience=300)
    took = time.perf_counter() - began
    after = cpu.used(running.processes, broker)
    used = {name: after[name] - before[name] for name in after}
    foreign = cpu.busy() - busy - sum(used.values()) - (time.process_time() - own)
    per_message = {name: value / messages * 1e6 for name, value in used.items()}
    per_message["sum"] = sum(per_message.values())
    cuts = statistics.quantiles(latencies, n=100)
    disturbed = foreign > FOREIGN * took * (os.cpu_count() or 1)
    return Round(per_message, cuts[49], cuts[98], messages / took, disturbed)


def summary(rounds: list[Round]) -> dict[str, tuple[float, float, float]]:
    """Return column → median, lowest and highest of the undisturbed rounds, or of all."""
    clean = [each for each in rounds if not each.disturbed] or rounds
    columns = {name: [each.cpu[name] for each in clean] for name in clean[0].cpu}
    columns["ack p50"] = [each.ack_p50 for each in clean]
    columns["ack p99"] = [each.ack_p99 for each in clean]
    columns["rate"] = [each.rate for each in clean]
    return {
        name: (statistics.median(values), min(values), max(values))
        for name, values in columns.items()
    }


def table(found: dict[str, list[Round]]) -> str:
    """Return the results as a table of 80 columns."""
    names = [*ROLES, "broker", "sum", "ack p50", "ack p99"]
    head = ["", *names, "rounds"]
    widths = [19, 8, 7, 8, 7, 6, 8, 8, 7]
    rows = [head]
    for system, rounds in found.items():
        columns = summary(rounds)
        figures = [f"{columns[name][0]:.0f}" if name in columns else "–" for name in names[:5]]
        figures += [f"{columns[name][0]:.1f}" for name in names[5:]]
        clean = sum(not each.disturbed for each in rounds)
        rows.append([system, *figures, f"{clean}/{len(rounds)}"])
        spread = [
            f"±{(c[2] - c[1]) / 2:.0f}" for c in (columns[n] for n in names[:5] if n in columns)
        ]
        rows.append(["", *spread, *([""] * (len(head) - 1 - len(spread)))])
    lines = [
        "".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    note = "CPU µs per message (median, half spread); ack in ms; rounds: undisturbed/all"
    return "\n".join([*lines, note])


async def profile(running: Competitor, role: str, messages: int, service: FakeService) -> None:
    """Have py-spy watch a role while messages pass."""
    image = OUTPUT / f"{role}.svg"
    pid = str(running.processes[role].popen.pid)
    command = [str(BENCH / "py-spy"), "record", "-p", pid, "-o", str(image), "-r", "500"]
    watching = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        service.accepted.clear()
        await post(running.url, messages)
        await eventually(lambda: len(service.accepted) >= messages, patience=300)
    finally:
        watching.send_signal(signal.SIGINT)
        await watching.wait()
    print(f"profile: {image}")


async def measure(options: argparse.Namespace) -> dict[str, list[Round]]:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    projects = [Project(Path(tempfile.mkdtemp()), broker.url, "bench") for _ in range(3)]
    try:
        systems = [await start_bridge(projects[0], service.url)]
        if not options.profile:
            for project, name in zip(projects[1:], PEERS, strict=True):
                systems.append(await start_peer(project, name, service.url))
        for system in systems:
            await play(system, service, broker, WARM_UP)
        if options.profile:
            await profile(systems[0], options.profile, options.messages, service)
            return {}
        found: dict[str, list[Round]] = {system.name: [] for system in systems}
        for _ in range(options.rounds):
            for system in systems:
                found[system.name].append(await play(system, service, broker, options.messages))
        return found
    finally:
        for project in projects:
            project.close()
        await service.stop()
        broker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=600, help="messages per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", choices=ROLES, help="a role of the bridge, by py-spy")
    parser.add_argument("--chart", type=Path, help="write an SVG image")
    options = parser.parse_args()
    found = asyncio.run(measure(options))
    if not found:
        return
    print(table(found))
    results = {name: [each._asdict() for each in rounds] for name, rounds in found.items()}
    (OUTPUT / "pipeline.json").write_text(json.dumps(results, indent=2) + "\n")
    if options.chart:
        options.chart.write_text(chart({name: summary(rounds) for name, rounds in found.items()}))


if __name__ == "__main__":
    main()
