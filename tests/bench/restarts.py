"""Measures the throughput of workers before and after three broker restarts. Asserts nothing.

    python -m tests.bench.restarts [--turn 0.5] [--messages 6000]

Starts a private broker and two workers, and queues messages of 500 conversations. Prints the turns
per second for ten seconds, kills the broker three times within a minute, and prints them again,
from the moment at which the workers consume again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.support.broker import free_port, make_broker
from tests.support.dead import dead_letters
from tests.support.load import Load
from tests.support.processes import Process, Project
from tests.support.service import FakeService

HANDLER = """
import asyncio
import os

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def handle(message, output):
    await asyncio.sleep(float(os.environ["TURN"]))
    os.write(LOG, f"{message.text}\\n".encode())
"""
CONVERSATIONS = 500
KILLS = 3


def turns(log: Path) -> int:
    return log.read_bytes().count(b"\n")


async def rate(log: Path, seconds: float) -> float:
    """Return the turns per second, measured for so long."""
    began, before = time.monotonic(), turns(log)
    await asyncio.sleep(seconds)
    return (turns(log) - before) / (time.monotonic() - began)


async def measure(turn: float, messages: int, directory: Path) -> None:
    broker = make_broker()
    service = FakeService()
    project = Project(directory, "", "bench")
    try:
        broker.start()
        await service.start()
        project = Project(directory, broker.url, "bench")
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("handler.py", HANDLER)
        port = free_port()
        await project.webhook(port)
        load = Load(project, service, [port])
        await load.backlog(CONVERSATIONS, messages // CONVERSATIONS)
        workers: list[Process] = []
        for _ in range(2):
            worker = project.bridge(
                "worker", "--handler", "handler:handle", env={"TURN": str(turn)}
            )
            await worker.prints("consuming")
            workers.append(worker)
        log = directory / "turns.log"
        await asyncio.sleep(3)
        print(f"before: {await rate(log, 10):.1f} turns/s")
        for kill in range(1, KILLS + 1):
            broker.kill()
            broker.start()
            for worker in workers:
                await worker.prints("consuming", count=kill + 1)
            await asyncio.sleep(4)
        for second in (5, 10, 15):
            print(f"after {second - 5} to {second} s: {await rate(log, 5):.1f} turns/s")
        quarantined = sum(worker.log.count("quarantined") for worker in workers)
        letters = await dead_letters(broker.url, "bench")
        print(f"quarantined: {quarantined}, dead letters: {len(letters)}")
    finally:
        project.close()
        await service.stop()
        broker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--turn", type=float, default=0.5, help="seconds of a turn")
    parser.add_argument("--messages", type=int, default=6000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(options.turn, options.messages, Path(directory)))


if __name__ == "__main__":
    main()
