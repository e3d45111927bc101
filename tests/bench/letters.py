"""Measures the commands for dead letters on a long queue. Asserts nothing.

    python -m tests.bench.letters [--letters 100000] [--size 300]

Starts a private broker, fills the queue of inbound dead letters, and prints, for each look, when
the first line appeared and when the command ended, and whether the order is the same; then the
rate of a replay.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import Topology
from tests.support.broker import make_broker
from tests.support.dead_letters import Dead
from tests.support.fakes import an_inbound
from tests.support.processes import Project

LOOKS = (
    ["list"],
    ["list"],
    ["list", "--by", "cause"],
    ["list"],
    ["list", "--channel", "callback", "--conversation", "u7", "--limit", "1"],
    ["list"],
)


async def measure(number: int, size: int) -> None:
    broker = make_broker()
    broker.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:9/\n")
        topology = Topology("bench", 4, 2, ("callback",))
        async with connect(broker.url, "bench") as connection:
            await ensure_topology(connection, topology)
            dead = Dead(project, topology, await connection.confirm_channel())
            await fill(dead, number, size)
        print(f"{number} dead letters of {size} bytes", flush=True)
        before = await order(dead)
        for arguments in LOOKS:
            first, total = timed(project, *arguments)
            same = "same order" if await order(dead) == before else "ORDER CHANGED"
            print(f"{' '.join(arguments):60} first line {first:5.1f} s, end {total:5.1f} s, {same}")
        _, total = timed(project, "replay", "--yes")
        print(f"replay: {total:.1f} s, {number / total:.0f}/s; {await dead.waiting()} waiting")
    finally:
        project.close()
        broker.close()


async def fill(dead: Dead, number: int, size: int) -> None:
    async def some(start: int) -> None:
        for n in range(start, number, 200):
            message = an_inbound(f"e{n}", sender_id=f"u{n % 1000}", text="x" * size)
            await dead.put(message)

    await asyncio.gather(*(some(start) for start in range(200)))


async def order(dead: Dead) -> str:
    return hashlib.sha256(" ".join(await dead.ids()).encode()).hexdigest()


def timed(project: Project, *arguments: str) -> tuple[float, float]:
    """Return the seconds until a command prints, and until it ends."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "dead", *arguments],
        cwd=project.directory,
        env={"PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as command:
        assert command.stdout is not None
        command.stdout.readline()
        first = time.monotonic() - began
        command.stdout.read()
        command.wait()
    return first, time.monotonic() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=300)
    options = parser.parse_args()
    asyncio.run(measure(options.letters, options.size))
