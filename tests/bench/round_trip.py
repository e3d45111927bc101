"""Measures one message at a time, from its post to the delivered reply, beside a bare pipeline.

    python -m tests.bench.round_trip [--messages 2000] [--slice 50]

Nothing else is under way, so what is measured is the number of steps, not the load. Slices of the
bridge and of `peers/bare.py` alternate. Prints medians in ms: until the acknowledgement, and until
the reply has reached the service; and the median and quartiles of the ratios of neighbouring
slices, which other work on the machine disturbs less. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import aiohttp

from tests.bench.latency import BARE
from tests.bench.pipeline import BRIDGE, Competitor, start_bridge, start_peer
from tests.support.broker import make_broker
from tests.support.processes import Project
from tests.support.service import FakeService

WARM_UP = 200


class Times(NamedTuple):
    """Milliseconds of each message."""

    acknowledged: list[float]
    delivered: list[float]


class Arrivals(FakeService):
    """A service that tells when the next reply arrives."""

    next: asyncio.Future[float]

    async def one(self, http: aiohttp.ClientSession, url: str, text: str) -> tuple[float, float]:
        """Post a message; return the ms to its acknowledgement and to its reply."""
        self.next = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        async with http.post(url, json={"sender": "ada", "message": text}) as response:
            await response.read()
            assert response.status == 200
        acknowledged = time.perf_counter() - began
        return acknowledged * 1000, (await self.next - began) * 1000


async def play(service: Arrivals, system: Competitor, messages: int, times: Times) -> Times:
    """Send messages one after another; add to `times`, and return those of this slice."""
    slice = Times([], [])
    async with aiohttp.ClientSession() as http:
        for n in range(messages):
            acknowledged, delivered = await service.one(http, system.url, str(n))
            slice.acknowledged.append(acknowledged)
            slice.delivered.append(delivered)
    times.acknowledged.extend(slice.acknowledged)
    times.delivered.extend(slice.delivered)
    return slice


async def measure(messages: int, size: int) -> None:
    broker, service = make_broker(), Arrivals()
    broker.start()
    await service.start()
    answer = service.answer

    def arrived(call: object) -> object:
        service.next.set_result(time.perf_counter())
        return answer(call)  # type: ignore[arg-type]

    service.answer = arrived  # type: ignore[assignment]
    projects = [Project(Path(tempfile.mkdtemp()), broker.url, "bench") for _ in range(2)]
    try:
        systems = [
            await start_bridge(projects[0], service.url),
            await start_peer(projects[1], BARE, service.url),
        ]
        for system in systems:
            await play(service, system, WARM_UP, Times([], []))
        found = {system.name: Times([], []) for system in systems}
        ratios = Times([], [])
        for _ in range(messages // size):
            ours, theirs = [
                await play(service, system, size, found[system.name]) for system in systems
            ]
            for ratio, mine, other in zip(ratios, ours, theirs, strict=True):
                ratio.append(statistics.median(mine) / statistics.median(other))
    finally:
        for project in projects:
            project.close()
        await service.stop()
        broker.close()
    for name, times in found.items():
        columns = []
        for what, values in times._asdict().items():
            cuts = statistics.quantiles(values, n=100)
            columns.append(f"{what} p50 {cuts[49]:.2f}, p99 {cuts[98]:.2f} ms")
        print(f"{name:20} {'; '.join(columns)}")
    for what, values in ratios._asdict().items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{what}: {BRIDGE} / {BARE} = {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--slice", type=int, default=50, help="messages until the other's turn")
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.slice))
