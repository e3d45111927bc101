"""Measures how long `rest` takes alone, and behind a backlog of another channel. Asserts nothing.

    python -m tests.bench.urgent [--messages 50000] [--rate 2] [--seconds 60] [--work demo]

Starts a private broker, a webhook, a deliver process and a worker with default settings. `--work`
is the worker's turn: `demo` (the trained demo assistant; needs rasa), `sleep:0.03` or `busy:0.03`,
in seconds of waiting or of CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from bridge.broker.topology import Topology
from tests.bench.acknowledge import cpu_seconds
from tests.support.backlog import Rest, enqueue, percentile, waiting
from tests.support.broker import free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.service import FakeService

HANDLERS = """
import asyncio
import time

SECONDS = {seconds}


async def sleep(message, output):
    await asyncio.sleep(SECONDS)
    await output.send_text_message(message.sender_id, message.text)


async def busy(message, output):
    end = time.thread_time() + SECONDS
    while time.thread_time() < end:
        pass
    await output.send_text_message(message.sender_id, message.text)
"""


async def start_worker(project: Project, work: str) -> Process:
    if work == "demo":
        from tests.acceptance.stack import Assistant

        assistant = Assistant(project)
        await assistant.start_actions()
        return await assistant.start_worker()
    name, _, seconds = work.partition(":")
    project.write("handler.py", HANDLERS.replace("{seconds}", seconds))
    return await project.worker("--handler", f"handler:{name}")


async def measure(messages: int, rate: float, seconds: float, work: str) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
        project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n  namespace: bench\n")
        port = free_port()
        await project.webhook(port)
        await project.deliver()
        worker = await start_worker(project, work)
        topology = Topology("bench", channels=["callback"])
        await show("alone", port, rate, seconds)
        await enqueue(broker.url, topology, messages)
        before, cpu = await waiting(broker.url, topology), cpu_seconds(worker)
        await show("behind a backlog", port, rate, seconds)
        after = await waiting(broker.url, topology)
        print(
            f"backlog: {before} → {after}, {(before - after) / seconds:.1f} turns/s,"
            f" {(cpu_seconds(worker) - cpu) / seconds:.0%} of a core"
        )
    finally:
        project.close()
        await service.stop()
        broker.close()


async def show(what: str, port: int, rate: float, seconds: float) -> None:
    rest = Rest(port)
    await rest.load(rate, seconds)
    if not rest.latencies:
        print(what, "failed", rest.failures)
        return
    p50, p90, p99 = (percentile(rest.latencies, p) * 1000 for p in (50, 90, 99))
    print(
        f"{what:18} p50 {p50:5.0f} ms  p90 {p90:5.0f} ms  p99 {p99:5.0f} ms"
        f"  max {max(rest.latencies) * 1000:5.0f} ms  failed {len(rest.failures)}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--work", default="demo")
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.rate, options.seconds, options.work))
