"""Measures how the CPU time per message grows with partitions and with conversations.

    python -m tests.bench.growth [--messages 1000] [--partitions 8 32 128]

One broker serves bridges with different numbers of partitions, in turn; each has few conversations
in one round, and many in the next. Prints the CPU time per message of each process. See `backlog`
and `conversations` for deep queues and for very many conversations. Compare the figures of one run
only. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics

import aiohttp

from tests.bench import cpu
from tests.bench.backlog import new_project
from tests.bench.pipeline import Competitor, start_bridge
from tests.support.broker import Broker, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

CONVERSATIONS = (10, 1000)
CONNECTIONS = 20
ROUNDS = 5
WARM_UP = 100


async def post(url: str, messages: int, conversations: int, first: int) -> None:
    """Post messages whose senders are spread over so many conversations, from `first` on."""
    left = iter(range(messages))

    async def talk(http: aiohttp.ClientSession) -> None:
        for n in left:
            body = {"sender": f"sender-{first + n * 7919 % conversations}", "message": str(n)}
            async with http.post(url, json=body) as response:
                assert response.status == 200, await response.text()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(talk(http) for _ in range(CONNECTIONS)))


async def play(
    running: Competitor,
    broker: Broker,
    service: FakeService,
    messages: int,
    conversations: int,
    first: int = 0,
) -> dict[str, float]:
    """Have messages pass; return µs of CPU time per message of each process, and their sum."""
    service.accepted.clear()
    service.calls.clear()
    before = cpu.used(running.processes, broker)
    await post(running.url, messages, conversations, first)
    await eventually(lambda: len(service.accepted) >= messages, patience=300)
    after = cpu.used(running.processes, broker)
    cost = {role: (after[role] - before[role]) / messages * 1e6 for role in before}
    return {**cost, "sum": sum(cost.values())}


async def measure(messages: int, partitions: list[int]) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    running: dict[int, Competitor] = {}
    projects: list[Project] = []
    found: dict[tuple[int, int], list[dict[str, float]]] = {}
    try:
        for number in partitions:
            projects.append(new_project(broker, f"growth{number}", number))
            running[number] = await start_bridge(projects[-1], service.url)
            await play(running[number], broker, service, WARM_UP, CONVERSATIONS[0])
        for _ in range(ROUNDS):
            for number, competitor in running.items():
                for conversations in CONVERSATIONS:
                    cost = await play(competitor, broker, service, messages, conversations)
                    found.setdefault((number, conversations), []).append(cost)
    finally:
        for project in projects:
            project.close()
        await service.stop()
        broker.close()
    for (number, conversations), costs in found.items():
        columns = []
        for role in costs[0]:
            values = [cost[role] for cost in costs]
            spread = f"{min(values):.0f} to {max(values):.0f}"
            columns.append(f"{role} {statistics.median(values):.0f} ({spread})")
        print(f"{number} partitions, {conversations} conversations: {', '.join(columns)}")
    print(f"µs of CPU time per message, medians of {ROUNDS} rounds")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1000, help="messages of each measurement")
    parser.add_argument("--partitions", type=int, nargs="*", default=[8, 32, 128])
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.partitions))
