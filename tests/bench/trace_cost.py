"""Measures what the trace costs each role per message, end to end. Asserts nothing.

    python -m tests.bench.trace_cost [--messages 3000] [--rounds 12] [--same]

Starts a private broker and every role twice, with the trace and without it, and sends messages to
the two in turns. Prints the CPU time per message of each role, the median of the rounds, and the
difference within a round. With `--same`, neither side has the trace: what differs then is noise,
which on a busy machine is larger than the cost.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import aiohttp

from tests.bench.acknowledge import cpu_seconds
from tests.support.broker import Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

ROLES = ("webhook", "worker", "deliver")
SENDERS = 20


class Side:
    """All roles, with the trace or without it."""

    def __init__(self, broker: Broker, service: FakeService, namespace: str, trace: bool) -> None:
        self.project = Project(Path(tempfile.mkdtemp()), broker.url, namespace)
        endpoints = self.project.directory / "endpoints.yml"
        endpoints.write_text(endpoints.read_text() + f"  trace: {str(trace).lower()}\n")
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        self.project.write("echo.py", ECHO)
        self.processes: list[Process] = []
        self.port = free_port()
        self._service = service

    async def start(self) -> None:
        self.processes[:] = await asyncio.gather(
            self.project.webhook(self.port),
            self.project.worker("--handler", "echo:handle"),
            self.project.deliver(),
        )

    async def round(self, http: aiohttp.ClientSession, messages: int) -> dict[str, float]:
        """Send messages, wait for the replies; return the CPU time of each role in µs."""
        url = f"http://127.0.0.1:{self.port}/webhooks/callback/webhook"

        async def talk(sender: int) -> None:
            for n in range(messages // SENDERS):
                body = {"sender": f"sender-{sender}", "message": str(n)}
                async with http.post(url, json=body) as response:
                    assert response.status == 200

        goal = len(self._service.accepted) + messages // SENDERS * SENDERS
        before = [cpu_seconds(process) for process in self.processes]
        await asyncio.gather(*map(talk, range(SENDERS)))
        await eventually(lambda: len(self._service.accepted) >= goal, patience=120)
        await asyncio.sleep(1.5)  # the hops are written
        spent = [cpu_seconds(process) for process in self.processes]
        return {
            role: (after - start) / messages * 1e6
            for role, start, after in zip(ROLES, before, spent, strict=True)
        }


async def measure(messages: int, rounds: int, *, same: bool) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    sides = [Side(broker, service, f"trace-{on}", bool(on) and not same) for on in (1, 0)]
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    try:
        for side in sides:
            await side.start()
        await asyncio.sleep(4)  # the first hops come three seconds after the start
        async with aiohttp.ClientSession() as http:
            for number in range(rounds + 1):
                order = (0, 1) if number % 2 else (1, 0)
                for which in order:
                    spent = await sides[which].round(http, messages)
                    for role, microseconds in spent.items():
                        if number:  # the first round warms up
                            found[role, which].append(microseconds)
        for role in ROLES:
            on, off = found[role, 0], found[role, 1]
            more = [a - b for a, b in zip(on, off, strict=True)]
            quartiles = statistics.quantiles(more, n=4)
            print(
                f"{role:8} with {statistics.median(on):5.0f} µs, without"
                f" {statistics.median(off):5.0f} µs, difference {quartiles[1]:4.0f} µs"
                f" (quartiles {quartiles[0]:.0f} to {quartiles[2]:.0f}),"
                f" {quartiles[1] / statistics.median(off):.1%}"
            )
    finally:
        for side in sides:
            side.project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--same", action="store_true")
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.rounds, same=options.same))
