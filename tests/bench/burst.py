"""Measures how soon a burst of messages is acknowledged, beside a plain `rasa run`.

    .venv-rasa/bin/python -m tests.bench.burst [--messages 500] [--rounds 5] [--edges PYTHON]

Both answer over the `callback` channel with the trained demo assistant and a SQLite tracker store.
The messages of a burst are posted at once, each by another sender. A round ends when all are
answered; the rounds of both are interleaved. Prints the time to the acknowledgement in ms, and
the ratio of the 99th percentiles for each round. `--edges` runs webhook and deliver. On two quiet
cores, a round should take ten seconds. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import yaml

from tests.acceptance.stack import DEMO, Assistant
from tests.support.broker import free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

BRIDGE, RASA = "the bridge", "rasa run"
WARM_UP = 20
TIMEOUT = aiohttp.ClientTimeout(total=600)
"""`rasa run` acknowledges the last message of a burst once it has run all turns before it."""
_senders = itertools.count()
_began = time.monotonic()


def say(text: str) -> None:
    """Print what happens now, and how long the measurement has been running."""
    print(f"{time.monotonic() - _began:5.0f} s: {text}", file=sys.stderr, flush=True)


async def burst(name: str, url: str, service: FakeService, messages: int) -> tuple[float, float]:
    """Post messages at once; return p50 and p99 of the acknowledgement in ms."""
    say(f"{messages} messages to {name}")
    text = yaml.safe_load((DEMO / "conversation.yml").read_text())[0]["say"]
    service.accepted.clear()
    waiting = {f"burst-{next(_senders)}" for _ in range(messages)}
    took: list[float] = []

    async def send(http: aiohttp.ClientSession, sender: str) -> None:
        began = time.perf_counter()
        async with http.post(url, json={"sender": sender, "message": text}) as response:
            await response.read()
            assert response.status == 200
        took.append((time.perf_counter() - began) * 1000)

    def answered() -> bool:
        return waiting <= {call.body.get("recipient_id") for call in service.accepted}

    connections = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connections, timeout=TIMEOUT) as http:
        await asyncio.gather(*(send(http, sender) for sender in waiting))
    say("all acknowledged")
    await eventually(answered, "each sender has a reply", patience=600)
    say("all answered")
    cuts = statistics.quantiles(took, n=100)
    return cuts[49], cuts[98]


async def measure(messages: int, rounds: int, edges: str) -> None:
    broker, service = make_broker(), FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    credentials = f"callback:\n  url: {service.url}\n"
    project.write("credentials.yml", credentials)
    ports = free_port(), free_port()
    try:
        say("starting; both load the model")
        assistant = Assistant(project)
        webhook = [edges, "-m", "bridge", "webhook", "-i", "127.0.0.1", "-p", str(ports[0])]
        listening = project.start("webhook", webhook)
        deliver = project.start("deliver", [edges, "-m", "bridge", "deliver"])
        await assistant.start_worker()
        await assistant.start_rasa(ports[1], credentials, project.directory / "rasa.db")
        await listening.prints("listening on")
        await deliver.prints("consuming")
        ours, theirs = (f"http://127.0.0.1:{port}/webhooks/callback/webhook" for port in ports)
        for name, url in ((BRIDGE, ours), (RASA, theirs)):
            await burst(name, url, service, WARM_UP)
        for number in range(1, rounds + 1):
            bridge = await burst(BRIDGE, ours, service, messages)
            rasa = await burst(RASA, theirs, service, messages)
            print(
                f"round {number}: bridge p50 {bridge[0]:.0f} p99 {bridge[1]:.0f},"
                f" rasa run p50 {rasa[0]:.0f} p99 {rasa[1]:.0f},"
                f" ratio of p99 {rasa[1] / bridge[1]:.1f}",
                flush=True,
            )
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=500, help="messages of a burst")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--edges", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.rounds, options.edges))
