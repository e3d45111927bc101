"""Measures what fairness and pacing cost while they are not needed. Asserts nothing.

    python -m tests.bench.unneeded [--messages 1000] [--rounds 20]

Starts a private broker, and every role five times: with nothing of both (`tests.bench.plain`), with
the locks of partitions, with all of fairness, with the pace of each recipient in addition, and with
that of the channel in addition. All are in force but never needed: nothing fails, and the rate
limits are far away. Rounds are interleaved. Prints the CPU time per message of each role and the
broker, as the operating system counts it: the median of the rounds, and the difference within a
round.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import aiohttp

from tests.bench import cpu
from tests.support.broker import Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

ROLES = ("webhook", "worker", "deliver")
RECIPIENTS = "  rate_limit_per_recipient: 1000\n  burst_per_recipient: 100\n"
CHANNEL = "  rate_limit: 20000\n  burst: 2000\n"
NOTHING = "with neither"
SIDES = {
    NOTHING: ("neither", ""),
    "locks of partitions": ("locks", ""),
    "fairness": ("fairness", ""),
    "and each recipient": ("both", RECIPIENTS),
    "and the channel": ("both", RECIPIENTS + CHANNEL),
}
"""Name → parts of `tests.bench.plain`, and keys of the channel."""
SENDERS = 20


class Side:
    """All roles, with some of the parts."""

    def __init__(self, broker: Broker, service: FakeService, name: str) -> None:
        self.name = name
        self.parts, keys = SIDES[name]
        self.project = Project(Path(tempfile.mkdtemp()), broker.url, name.replace(" ", "-"))
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n{keys}")
        self.project.write("echo.py", ECHO)
        self._broker = broker
        self._service = service
        self._port = free_port()
        self._processes: dict[str, Process] = {}

    async def start(self) -> None:
        command = [sys.executable, "-m", "tests.bench.plain", self.parts]
        options = {
            "webhook": ("-i", "127.0.0.1", "-p", str(self._port)),
            "worker": ("--handler", "echo:handle"),
            "deliver": (),
        }
        for role in ROLES:
            process = self.project.start(role, [*command, role, *options[role]])
            self._processes[role] = process
        for role, process in self._processes.items():
            await process.prints("listening on" if role == "webhook" else "consuming")

    async def round(self, http: aiohttp.ClientSession, messages: int) -> dict[str, float]:
        """Send messages, wait for the replies; return µs of CPU time per message, by process."""
        url = f"http://127.0.0.1:{self._port}/webhooks/callback/webhook"

        async def talk(sender: int) -> None:
            for n in range(messages // SENDERS):
                body = {"sender": f"sender-{sender}", "message": str(n)}
                async with http.post(url, json=body) as response:
                    assert response.status == 200

        self._service.accepted.clear()
        before = cpu.used(self._processes, self._broker)
        await asyncio.gather(*map(talk, range(SENDERS)))
        sent = messages // SENDERS * SENDERS
        await eventually(lambda: len(self._service.accepted) >= sent, patience=120)
        after = cpu.used(self._processes, self._broker)
        found = {role: (after[role] - before[role]) / sent * 1e6 for role in after}
        return {**found, "all": sum(found.values())}


async def measure(messages: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return the rounds of each side."""
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    sides = [Side(broker, service, name) for name in SIDES]
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    try:
        for side in sides:
            await side.start()
        async with aiohttp.ClientSession() as http:
            for number in range(rounds + 1):
                # Each side comes first equally often.
                first = number % len(sides)
                for side in sides[first:] + sides[:first]:
                    spent = await side.round(http, messages)
                    if number:  # the first round warms up
                        found[side.name].append(spent)
        return found
    finally:
        for side in sides:
            side.project.close()
        await service.stop()
        broker.close()


def show(found: dict[str, list[dict[str, float]]]) -> None:
    plain = found.pop(NOTHING)
    for role in plain[0]:
        base = statistics.median(each[role] for each in plain)
        print(f"{role:8} {base:6.0f} µs per message {NOTHING}")
        for name, rounds in found.items():
            more = [a[role] - b[role] for a, b in zip(rounds, plain, strict=True)]
            low, middle, high = statistics.quantiles(more, n=4)
            print(
                f"    {name:20} {middle:+6.0f} µs, {middle / base:+.1%}"
                f" (quartiles {low:+.0f} to {high:+.0f})"
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1000, help="per round")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    show(asyncio.run(measure(options.messages, options.rounds)))
