"""Measures how long `rest` takes beside unusual backlogs. Asserts nothing.

    python -m tests.bench.loads few  [--messages 20000] [--rate 4] [--seconds 20] [--turn 0.1]
    python -m tests.bench.loads bulk [--messages 20000] [--rate 4] [--seconds 20] [--turn 0.1]

Starts a private broker and the roles with default settings. A turn waits for `--turn` seconds.
`few`: the messages of one channel belong to 10 conversations; `rest` asks in others, and in the
same ones. With turns of more than 0.2 s, their messages are moved to overflow queues.
`bulk`: half of the messages are of one channel, half of another one with `priority: low`; after
`rest`, it prints how many turns each of the two had.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiohttp

from bridge.broker.topology import Topology
from tests.bench.urgent import HANDLERS
from tests.support.backlog import Rest, enqueue, percentile
from tests.support.broker import free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService

FEW = 10
CREDENTIALS = """rest:
callback:
  url: {url}
webhook:
  url: {url}
  secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
  priority: low
"""


async def ask(name: str, port: int, rate: float, seconds: float, who: Callable[[int], str]) -> None:
    """Send requests of `rest`, and print how long they take."""
    rest = Rest(port)
    async with aiohttp.ClientSession() as http:
        asking = []
        for number in range(round(rate * seconds)):
            asking.append(asyncio.create_task(rest.ask(http, who(number))))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*asking)
    p50, p99 = (percentile(rest.latencies, p) * 1000 for p in (50, 99))
    worst = max(rest.latencies) * 1000
    print(f"{name:24} p50 {p50:5.0f} ms  p99 {p99:5.0f} ms  max {worst:5.0f} ms", flush=True)


async def measure(what: str, messages: int, rate: float, seconds: float, turn: float) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", CREDENTIALS.replace("{url}", service.url))
        project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n  namespace: bench\n")
        project.write("handler.py", HANDLERS.replace("{seconds}", f"{turn}"))
        port = free_port()
        await project.webhook(port)
        await project.deliver()
        await project.worker("--handler", "handler:sleep")
        topology = Topology("bench", channels=["callback", "webhook"])
        await ask("alone", port, rate, seconds, lambda number: f"r{number}")
        if what == "few":
            await enqueue(broker.url, topology, messages, conversations=FEW)
            await ask("other conversations", port, rate, seconds, lambda number: f"s{number}")
            await ask("the same conversations", port, rate, seconds, lambda n: f"c{n % FEW}")
        else:
            half = messages // 2
            await enqueue(broker.url, topology, half, channel="webhook", priority="low")
            await enqueue(broker.url, topology, half)
            service.accepted.clear()
            await ask("beside two channels", port, rate, seconds, lambda number: f"s{number}")
            low = sum("webhook-id" in call.headers for call in service.accepted)
            print(f"turns: {len(service.accepted) - low} of callback, {low} of the low one")
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("few", "bulk"))
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=4)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--turn", type=float, default=0.1, help="seconds")
    options = parser.parse_args()
    asyncio.run(measure(**vars(options)))
