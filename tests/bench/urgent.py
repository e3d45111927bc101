"""Measures how long `rest` takes alone, and behind a backlog of another channel. Asserts nothing.

    python -m tests.bench.urgent [--messages 50000] [--rate 2] [--seconds 60] [--work demo]
                                 [--moves leave kill]

Starts a private broker, a webhook, a deliver process and a worker with default settings. `--work`
is the worker's turn: `demo` (the trained demo assistant; needs rasa), `sleep:0.03` or `busy:0.03`,
in seconds of waiting or of CPU time. With `--moves`, another worker joins in a further part for
each of the words, and the oldest one leaves or is killed. Prints what it does: about four minutes
in all, and two more for each word.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import suppress
from math import inf
from pathlib import Path

from bridge.broker.topology import Topology
from tests.bench.acknowledge import cpu_seconds
from tests.support.backlog import Rest, enqueue, percentile, waiting
from tests.support.broker import free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.service import FakeService

START = 180.0
"""Seconds within which a worker must have loaded its model, on a busy machine."""
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


def tell(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


async def prepare(project: Project, work: str) -> tuple[str, ...]:
    """Start what the worker's turns need; return the worker's arguments."""
    if work == "demo":
        from tests.acceptance.stack import MODEL, Assistant

        await Assistant(project).start_actions()
        return "-m", str(MODEL)
    name, _, seconds = work.partition(":")
    project.write("handler.py", HANDLERS.replace("{seconds}", seconds))
    return "--handler", f"handler:{name}"


async def start_worker(project: Project, arguments: tuple[str, ...]) -> Process:
    worker = project.bridge("worker", *arguments)
    await worker.prints("consuming", patience=START)
    return worker


async def measure(messages: int, rate: float, seconds: float, work: str, moves: list[str]) -> None:
    broker, service = make_broker(), FakeService()
    tell("starting RabbitMQ")
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    tell(f"starting the roles in {project.directory}")
    try:
        project.write("credentials.yml", f"rest:\ncallback:\n  url: {service.url}\n")
        project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n  namespace: bench\n")
        port = free_port()
        arguments = await prepare(project, work)
        _, _, worker = await asyncio.gather(
            project.webhook(port), project.deliver(), start_worker(project, arguments)
        )
        topology = Topology("bench", channels=["callback"])
        tell("one request, so that the model is warm")
        await Rest(port).load(1, 1)
        tell(f"{rate:g} requests a second for {seconds:g} s")
        await show("alone", port, rate, seconds)
        tell(f"putting {messages:,} messages of callback on the queues")
        await enqueue(broker.url, topology, messages)
        tell(f"{rate:g} requests a second for {seconds:g} s, beside them")
        before, cpu = await waiting(broker.url, topology), cpu_seconds(worker)
        await show("behind a backlog", port, rate, seconds)
        after = await waiting(broker.url, topology)
        print(
            f"backlog: {before} → {after}, {(before - after) / seconds:.1f} turns/s,"
            f" {(cpu_seconds(worker) - cpu) / seconds:.0%} of a core"
        )
        for move in moves:
            tell(f"the same, while a worker joins and the oldest one must {move}")
            loading = asyncio.create_task(show("beside moves", port, rate, seconds))
            await asyncio.sleep(seconds / 6)
            newest = await start_worker(project, arguments)
            joined = time.monotonic()
            tell("another worker consumes")
            await asyncio.sleep(seconds / 3)
            left = time.monotonic()
            if move == "kill":
                worker.kill()
            else:
                worker.terminate()
            tell(f"the oldest one ended with {await worker.ends()}")
            worker = newest
            rest = await loading
            for name, since, until in (("join", joined, left), (move, left, inf)):
                waits = [
                    wait
                    for began, wait in zip(rest.began, rest.latencies, strict=True)
                    if since <= began + wait and began < until
                ]
                late = [wait for wait in waits if wait > 1]
                print(f"{name}: {len(late)} of {len(waits)} took over 1 s, max {max(waits):.1f} s")
    finally:
        project.close()
        await service.stop()
        broker.close()


async def show(what: str, port: int, rate: float, seconds: float) -> Rest:
    rest = Rest(port)
    with suppress(asyncio.TimeoutError):  # the latencies until then are shown
        await rest.load(rate, seconds)
    if not rest.latencies:
        print(what, "failed", rest.failures)
        return rest
    p50, p90, p99 = (percentile(rest.latencies, p) * 1000 for p in (50, 90, 99))
    print(
        f"{what:18} p50 {p50:5.0f} ms  p90 {p90:5.0f} ms  p99 {p99:5.0f} ms"
        f"  max {max(rest.latencies) * 1000:5.0f} ms  failed {len(rest.failures)}",
        flush=True,
    )
    return rest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--rate", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--work", default="demo", help="demo, sleep:SECONDS or busy:SECONDS")
    parser.add_argument("--moves", nargs="*", default=[], choices=("leave", "kill"))
    options = parser.parse_args()
    asyncio.run(
        measure(options.messages, options.rate, options.seconds, options.work, options.moves)
    )
