"""Measures the commands for dead letters on a long queue. Asserts nothing.

    python -m tests.bench.letters [--letters 100000] [--size 300] [--looks 3] [--rotate]

Starts a private broker, fills the queue of inbound dead letters, and prints, for each look, when
the first line appeared and when the command ended, and whether all looks left the order as it was.
Then it interrupts a replay, ends it with another one, and prints whether each message is on its
queue once, in order. With `--rotate`, the first third is moved behind the others before. Of each
command, it prints the most memory that it had (RSS).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.topology import Topology
from bridge.messages import Delivery, InboundMessage, decode
from tests.support.broker import make_broker
from tests.support.dead_letters import Dead
from tests.support.fakes import an_inbound
from tests.support.processes import Project
from tests.support.waiting import eventually

CONVERSATIONS = 1000
LOOKS = (
    ["list"],
    ["list", "--by", "cause"],
    ["list", "--channel", "callback", "--conversation", "u7", "--limit", "1"],
)


async def measure(number: int, size: int, looks: int, rotates: bool) -> None:
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
        print(f"{number:,} dead letters of {size} bytes", flush=True)
        before = await order(dead)
        for arguments in LOOKS[:looks]:
            first, total, memory = timed(project, *arguments)
            name = " ".join(arguments)
            print(f"{name:60} first line {first:5.1f} s, end {total:5.1f} s, {memory}", flush=True)
        same = await order(dead) == before
        print("the looks left the order as it was" if same else "THE ORDER HAS CHANGED", flush=True)
        if rotates:
            await rotate(dead, number // 3)
            print("rotated:", "as before" if await order(dead) == before else "another order")
        await replay(dead, number)
        print(await outcome(dead, number))
    finally:
        project.close()
        broker.close()


async def fill(dead: Dead, number: int, size: int) -> None:
    async def some(start: int) -> None:
        for n in range(start, number, 200):
            message = an_inbound(f"e{n}", sender_id=f"u{n % CONVERSATIONS}", text="x" * size)
            await dead.put(message)

    await asyncio.gather(*(some(start) for start in range(200)))


async def order(dead: Dead) -> str:
    return hashlib.sha256(" ".join(await dead.ids()).encode()).hexdigest()


async def rotate(dead: Dead, number: int) -> None:
    """Read the first messages and return them, as a reader does that knows no better."""
    queue = f"{dead.topology.namespace}.dead.inbound"
    async with connect(dead.project.broker_url, "bench") as connection:
        depth = await connection.ready_messages(queue)
        channel = await connection.consumer_channel(number)
        read: list[Delivery] = []
        await channel.consume(queue, read.append)
        await eventually(lambda: len(read) >= number)
        await channel.close()

        async def is_back() -> bool:
            return await connection.ready_messages(queue) == depth

        await eventually(is_back)


def command(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bridge", "dead", *arguments],
        cwd=project.directory,
        env={"PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(running: subprocess.Popen[bytes]) -> str:
    """Wait for the end of a command; return the most memory that it had."""
    _, status, usage = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    return f"{usage.ru_maxrss // 1024} MiB"


def timed(project: Project, *arguments: str) -> tuple[float, float, str]:
    """Return the seconds until a command prints, and until it ends, and its memory."""
    began = time.monotonic()
    with command(project, *arguments) as running:
        assert running.stdout is not None
        running.stdout.readline()
        first = time.monotonic() - began
        running.stdout.read()
        memory = ended(running)
    return first, time.monotonic() - began, memory


async def replay(dead: Dead, number: int) -> None:
    """Interrupt a replay when half of the messages are back, and end it with another one."""
    for interrupts in (True, False):
        began = time.monotonic()
        with command(dead.project, "replay", "--yes") as running:
            if interrupts:
                while await dead.waiting() < number // 2:
                    await asyncio.sleep(0.5)
                running.send_signal(signal.SIGINT)
            assert running.stdout is not None
            printed = await asyncio.to_thread(running.stdout.read)
            memory = await asyncio.to_thread(ended, running)
        took = time.monotonic() - began
        last = printed.decode().strip().splitlines()[-1]
        print(f"replay, {took:.1f} s, {memory}: {last}", flush=True)


async def outcome(dead: Dead, number: int) -> str:
    """Say whether each message is back on its queue once, in the order of its conversation."""
    lanes: dict[str, list[int]] = defaultdict(list)
    arrived = 0

    def receive(delivery: Delivery) -> None:
        nonlocal arrived
        message = decode(delivery.body, InboundMessage)
        lanes[message.sender_id].append(int(message.id.removeprefix("e")))
        arrived += 1

    waiting = await dead.waiting()
    async with connect(dead.project.broker_url, "bench") as connection:
        channel = await connection.consumer_channel(0)
        for partition in range(4):
            await channel.consume(f"bench.inbound.{partition:02}", receive, no_ack=True)
        await eventually(lambda: arrived >= waiting, patience=120)
    numbers = [n for lane in lanes.values() for n in lane]
    late = sum(earlier > later for lane in lanes.values() for earlier, later in pairwise(lane))
    lost, twice = number - len({*numbers}), len(numbers) - len({*numbers})
    return f"{len(numbers):,} on their queues: {lost} lost, {twice} twice, {late} out of order"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--looks", type=int, default=len(LOOKS))
    parser.add_argument("--rotate", action="store_true")
    options = parser.parse_args()
    asyncio.run(measure(options.letters, options.size, options.looks, options.rotate))
