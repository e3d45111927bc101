"""Measures latencies at a third of the load that the machine can take, beside the pipeline by hand.

    python -m tests.bench.latency [--rate 150] [--seconds 8] [--rounds 3]

Posts messages at a constant rate, whatever the answers do, to the bridge and to
`peers/bare.py`, in turn. Prints the time to the acknowledgement and to the delivered reply in ms:
the medians of the rounds and their spread. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.bench.pipeline import start_bridge, start_peer
from tests.support.broker import make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

BARE = "bare aio-pika"
SENDERS = 100


async def play(url: str, service: FakeService, rate: float, seconds: float) -> dict[str, float]:
    """Run one round; return column → milliseconds."""
    service.accepted.clear()
    number = int(rate * seconds)
    posted: dict[str, float] = {}
    acknowledged: list[float] = []

    async def send(http: aiohttp.ClientSession, n: int) -> None:
        posted[str(n)] = began = time.monotonic()
        body = {"sender": f"sender-{n % SENDERS}", "message": str(n)}
        async with http.post(url, json=body) as response:
            await response.read()
            assert response.status == 200
        acknowledged.append(time.monotonic() - began)

    async with aiohttp.ClientSession() as http:
        start = time.monotonic()
        tasks = []
        for n in range(number):
            await asyncio.sleep(max(0.0, start + n / rate - time.monotonic()))
            tasks.append(asyncio.create_task(send(http, n)))
        await asyncio.gather(*tasks)
    await eventually(lambda: len(service.accepted) >= number, patience=60)
    delivered = [call.at - posted[call.body["text"]] for call in service.accepted]
    acks, ends = (statistics.quantiles(times, n=100) for times in (acknowledged, delivered))
    found = {"ack p50": acks[49], "ack p99": acks[98], "end p50": ends[49], "end p99": ends[98]}
    return {name: value * 1000 for name, value in found.items()}


async def measure(rate: float, seconds: float, rounds: int) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    projects = [Project(Path(tempfile.mkdtemp()), broker.url, "bench") for _ in range(2)]
    try:
        systems = [
            await start_bridge(projects[0], service.url),
            await start_peer(projects[1], BARE, service.url),
        ]
        found: dict[str, list[dict[str, float]]] = {}
        for system in systems:
            await play(system.url, service, rate, 1.0)
        for _ in range(rounds):
            for system in systems:
                found.setdefault(system.name, []).append(
                    await play(system.url, service, rate, seconds)
                )
    finally:
        for project in projects:
            project.close()
        await service.stop()
        broker.close()
    for name, results in found.items():
        figures = []
        for column in results[0]:
            values = [each[column] for each in results]
            spread = f"{min(values):.1f} to {max(values):.1f}"
            figures.append(f"{column} {statistics.median(values):.1f} ({spread})")
        print(f"{name:20} {'  '.join(figures)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=float, default=150, help="messages per second")
    parser.add_argument("--seconds", type=float, default=8, help="of one round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(measure(options.rate, options.seconds, options.rounds))
