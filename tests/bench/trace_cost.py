"""Measures what the trace costs each role and the broker per message. Asserts nothing.

    python -m tests.bench.trace_cost [--seconds 240] [--same]

Starts a private broker and every role, and sends messages without a pause. The trace of the same
processes is on for a second and off for a second (`tests.bench.switched`): so neither the
differences between two processes nor the slow changes of a machine count. Hops are written at the
end of their second. Prints the CPU time per message, what the trace adds, and the standard error.
With `--same`, the trace stays off: what is printed then is the noise, which on a busy machine is
larger than the cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import aiohttp

from tests.bench import cpu
from tests.bench.switched import is_on
from tests.support.broker import Broker, free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService

SENDERS = 20
SWITCHED = ("switched", "never")
WARM_UP = 8.0
"""Seconds that are not measured."""
SETTLED = 0.25
"""Seconds after which the broker has taken the hops that were written."""
TRIMMED = 0.2
"""Share of the differences that is left out at each end: something else has run meanwhile."""
Seconds = dict[int, float]
"""Second of the clock → µs of CPU time per message."""


class System:
    """All roles."""

    def __init__(self, broker: Broker, service: FakeService) -> None:
        self.project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
        self.project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        self.project.write("echo.py", ECHO)
        self._broker = broker
        self._service = service
        self._port = free_port()
        self._processes: dict[str, Process] = {}

    async def start(self, *, same: bool) -> None:
        options = {
            "webhook": ("-i", "127.0.0.1", "-p", str(self._port)),
            "worker": ("--handler", "echo:handle"),
            "deliver": (),
        }
        for role, more in options.items():
            switched = ["tests.bench.switched", str(self._file(role)), SWITCHED[same]]
            command = [sys.executable, "-m", *switched, role, *more]
            self._processes[role] = self.project.start(role, command)
        for role, process in self._processes.items():
            await process.prints("listening on" if role == "webhook" else "consuming")

    async def run(self, seconds: float) -> dict[str, Seconds]:
        """Send messages for some seconds. Return what was spent in each of them, by process."""
        async with aiohttp.ClientSession() as http:
            senders = [asyncio.ensure_future(self._talk(http, n)) for n in range(SENDERS)]
            await asyncio.sleep(WARM_UP)
            began = time.time()
            broker = await self._watch_broker(began + seconds)
            rate = len(self._service.accepted) / (WARM_UP + seconds)
            print(f"{rate:.0f} messages a second")
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
        found = {}
        for role in self._processes:
            lines = [json.loads(line) for line in self._file(role).read_text().splitlines()]
            found[role] = each_second([line for line in lines if line[0] > began])
        return {**found, "broker": each_second(broker)} if broker else found

    async def _talk(self, http: aiohttp.ClientSession, sender: int) -> None:
        url = f"http://127.0.0.1:{self._port}/webhooks/callback/webhook"
        while True:
            body = {"sender": f"sender-{sender}", "message": "hello"}
            async with http.post(url, json=body) as response:
                assert response.status == 200

    async def _watch_broker(self, until: float) -> list[tuple[int, float, float]]:
        """Return of the broker what `switched` writes of a role."""
        lines = []
        while (now := time.time()) < until:
            second = int(now - SETTLED)
            await asyncio.sleep(second + 1 + SETTLED - now)
            spent = cpu.used({}, self._broker).get("broker")
            if spent is None:
                return []
            lines.append((second, spent, float(len(self._service.accepted))))
        return lines

    def _file(self, role: str) -> Path:
        return self.project.directory / f"{role}.seconds"


def each_second(lines: Sequence[tuple[int, float, float]]) -> Seconds:
    """Return the differences between lines, which are one second apart."""
    return {
        second: (spent - before) / (handled - earlier) * 1e6
        for (last, before, earlier), (second, spent, handled) in pairwise(lines)
        if second == last + 1 and handled > earlier
    }


async def measure(seconds: float, *, same: bool) -> dict[str, Seconds]:
    """Return what was spent in each second, by process."""
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    system = System(broker, service)
    try:
        await system.start(same=same)
        return await system.run(seconds)
    finally:
        system.project.close()
        await service.stop()
        broker.close()


def trimmed(values: Sequence[float]) -> tuple[float, float]:
    """Return the trimmed mean of values, and its standard error (of the Winsorized values)."""
    ordered = sorted(values)
    cut = int(len(ordered) * TRIMMED)
    kept = ordered[cut : len(ordered) - cut]
    held = [min(max(value, kept[0]), kept[-1]) for value in ordered]
    error = statistics.stdev(held) / (1 - 2 * TRIMMED) / math.sqrt(len(held))
    return statistics.fmean(kept), error


def differences(spent: Seconds) -> list[float]:
    """Return what each second with the trace has cost more than the one beside it without."""
    return [
        (value - spent[second + 1]) * (1 if is_on(second) else -1)
        for second, value in spent.items()
        if second % 2 == 0 and second + 1 in spent
    ]


def show(found: dict[str, Seconds]) -> None:
    sums: dict[str, list[float]] = {"roles": [0.0, 0.0, 0.0], "all": [0.0, 0.0, 0.0]}
    for name, seconds in found.items():
        without = statistics.median(spent for second, spent in seconds.items() if not is_on(second))
        more, error = trimmed(differences(seconds))
        show_line(name, without, more, error)
        for total in ("roles", "all") if name != "broker" else ("all",):
            sums[total] = [
                a + b for a, b in zip(sums[total], (without, more, error**2), strict=True)
            ]
    for name, (without, more, square) in sums.items():
        show_line(name, without, more, math.sqrt(square))


def show_line(name: str, without: float, more: float, error: float) -> None:
    print(
        f"{name:8} {without:5.0f} µs per message without the trace, {more:+5.1f} µs with it"
        f" (± {error:.1f}), {more / without:+.1%}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--same", action="store_true")
    options = parser.parse_args()
    show(asyncio.run(measure(options.seconds, same=options.same)))
