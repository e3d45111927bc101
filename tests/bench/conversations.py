"""Measures what many conversations cost: CPU time per message, and memory, which must not grow.

    python -m tests.bench.conversations [--conversations 200000] [--step 20000]

Each message of a step begins a conversation. Between the steps, messages of ten conversations pass.
Prints the CPU time per message of both, and the memory of each process, after each step. What is
kept for repeated messages is full after 50,000. Compare the figures of one run only. Asserts
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from tests.bench.backlog import new_project
from tests.bench.growth import play
from tests.bench.memory import broker_rss, rss
from tests.bench.pipeline import start_bridge
from tests.support.broker import make_broker
from tests.support.service import FakeService

FEW = 10
CHUNK = 500
"""New conversations until all of them are answered: the memory of held messages stays small."""
PARTITIONS = 32


async def measure(conversations: int, step: int) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = new_project(broker, "conversations", PARTITIONS)
    try:
        running = await start_bridge(project, service.url)
        began, done = time.monotonic(), 0
        await play(running, broker, service, 1000, FEW)
        while done < conversations:
            costs = [
                await play(running, broker, service, CHUNK, CHUNK, first=done + start)
                for start in range(0, step, CHUNK)
            ]
            many = {name: sum(cost[name] for cost in costs) / len(costs) for name in costs[0]}
            few = await play(running, broker, service, 1000, FEW)
            done += step
            sizes = {name: rss(process) for name, process in running.processes.items()}
            sizes["broker"] = broker_rss(broker)
            memory = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
            cost = ", ".join(f"{name} {many[name]:.0f}/{few[name]:.0f}" for name in many)
            print(
                f"{done} conversations after {time.monotonic() - began:.0f} s: {memory} MB;"
                f" µs per message of a new one / of {FEW}: {cost}",
                flush=True,
            )
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=200_000)
    parser.add_argument("--step", type=int, default=20_000, help="conversations between two lines")
    options = parser.parse_args()
    asyncio.run(measure(options.conversations, options.step))
