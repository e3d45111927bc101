"""Compares the CPU time per message of two versions of the bridge. Asserts nothing.

    python -m tests.bench.versions OLD [--roles webhook] [--messages 200] [--pairs 40]

OLD is the directory of another checkout. Starts a private broker, and the roles of both versions.
Slices of messages alternate between the two, so that other work on the machine disturbs both alike:
the ratio of two neighbours is steady where the times are not. Prints, for each role and the broker,
the median of the CPU time of both in µs per message, and median and quartiles of the ratio new by
old. With `--roles webhook`, messages stay on their queues.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path

import aiohttp

from tests.bench import cpu
from tests.bench.pipeline import CONNECTIONS, ROLES
from tests.support.broker import TOP, Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually


class Version:
    """The roles of one checkout."""

    def __init__(self, broker: Broker, tree: Path, name: str, service: FakeService) -> None:
        self.project = Project(Path(tempfile.mkdtemp()), broker.url, name)
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        self.project.write("echo.py", ECHO)
        self._broker = broker
        self._service = service
        self._path = f"{self.project.directory}{os.pathsep}{tree.absolute()}"
        self._port = free_port()
        self.processes: dict[str, Process] = {}

    async def start(self, roles: list[str]) -> None:
        command = [sys.executable, "-m", "bridge"]
        options = {
            "webhook": ("-i", "127.0.0.1", "-p", str(self._port)),
            "worker": ("--handler", "echo:handle"),
            "deliver": (),
        }
        for role in roles:
            self.processes[role] = self.project.start(
                role, [*command, role, *options[role]], {"PYTHONPATH": self._path}
            )
        for role, process in self.processes.items():
            await process.prints("listening on" if role == "webhook" else "consuming")

    async def slice(self, http: aiohttp.ClientSession, messages: int) -> dict[str, float]:
        """Send messages, wait for the replies; return µs of CPU time per message, by process."""
        url = f"http://127.0.0.1:{self._port}/webhooks/callback/webhook"
        left = iter(range(messages))

        async def talk(sender: int) -> None:
            for n in left:
                body = {"sender": f"sender-{sender}", "message": str(n)}
                async with http.post(url, json=body) as response:
                    assert response.status == 200

        self._service.accepted.clear()
        before = cpu.used(self.processes, self._broker)
        await asyncio.gather(*map(talk, range(CONNECTIONS)))
        if "deliver" in self.processes:
            await eventually(lambda: len(self._service.accepted) >= messages, patience=120)
        after = cpu.used(self.processes, self._broker)
        return {name: (after[name] - before[name]) / messages * 1e6 for name in after}


async def measure(old: Path, roles: list[str], messages: int, pairs: int) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    versions = [Version(broker, old, "old", service), Version(broker, TOP, "new", service)]
    found: list[list[dict[str, float]]] = [[], []]
    try:
        for version in versions:
            await version.start(roles)
        async with aiohttp.ClientSession() as http:
            for pair in range(-2, pairs):  # two pairs warm up
                for n in (0, 1) if pair % 2 else (1, 0):
                    spent = await versions[n].slice(http, messages)
                    if pair >= 0:
                        found[n].append(spent)
    finally:
        for version in versions:
            version.project.close()
        await service.stop()
        broker.close()
    for name in found[0][0]:
        before, after = ([each[name] for each in slices] for slices in found)
        ratios = [b / a for a, b in zip(before, after, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        times = f"{statistics.median(before):5.0f} → {statistics.median(after):5.0f} µs"
        print(f"{name:8} {times}   new / old {middle:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, help="directory of another checkout")
    parser.add_argument("--roles", nargs="+", choices=ROLES, default=ROLES)
    parser.add_argument("--messages", type=int, default=200, help="per slice")
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    asyncio.run(measure(options.old, options.roles, options.messages, options.pairs))
