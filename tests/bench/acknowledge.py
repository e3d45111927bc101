"""Measures how fast the webhook acknowledges, and the CPU time per message. Asserts nothing.

    python -m tests.bench.acknowledge [--messages 5000] [--connections 20]

Starts a private broker, one webhook, one worker with an echo handler and one deliver, posts
messages over loopback, and prints latencies, rates and CPU time per message of each process.
Compare figures within one run only: machines differ, and one machine differs from hour to hour.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.support.broker import free_port, make_broker
from tests.support.handlers import ECHO
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually


def cpu_seconds(process: Process) -> float:
    """Return the user and system time of a process so far (Linux, /proc)."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(messages: int, connections: int) -> None:
    broker = make_broker()
    service = FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("echo.py", ECHO)
        port = free_port()
        names = ("webhook", "worker", "deliver")
        processes = await asyncio.gather(
            project.webhook(port),
            project.worker("--handler", "echo:handle"),
            project.deliver(),
        )
        url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        latencies: list[float] = []

        async def talk(http: aiohttp.ClientSession, sender: int, count: int) -> None:
            for n in range(count):
                body = {"sender": f"sender-{sender}", "message": str(n)}
                began = time.perf_counter()
                async with http.post(url, json=body) as response:
                    await response.read()
                    assert response.status == 200
                latencies.append((time.perf_counter() - began) * 1000)

        async with aiohttp.ClientSession() as http:
            await talk(http, 0, 50)
            await eventually(lambda: len(service.accepted) == 50)
            latencies.clear()
            before = [cpu_seconds(p) for p in processes]
            began = time.perf_counter()
            share = messages // connections
            await asyncio.gather(*(talk(http, s, share) for s in range(connections)))
            posted = time.perf_counter() - began
            total = share * connections
            await eventually(lambda: len(service.accepted) == 50 + total, patience=300)
            delivered = time.perf_counter() - began
        cuts = statistics.quantiles(latencies, n=100)
        print(f"{total} messages, {connections} concurrent senders")
        print(f"acknowledged  p50 {cuts[49]:.1f} ms  p95 {cuts[94]:.1f} ms  p99 {cuts[98]:.1f} ms")
        print(
            f"acknowledged  {total / posted:.0f}/s   replies delivered  {total / delivered:.0f}/s"
        )
        for name, process, start in zip(names, processes, before, strict=True):
            microseconds = (cpu_seconds(process) - start) / total * 1e6
            print(f"{name:8} {microseconds:6.0f} µs of CPU time per message")
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--connections", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.connections))
