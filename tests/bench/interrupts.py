"""Measures how soon a new message stops the running turn of its conversation. Asserts nothing.

    python -m tests.bench.interrupts [--rounds 50] [--rate 20] [--rasa]

Starts a private broker, a webhook and a worker whose channel has `turns: interrupt`. In each round,
a message starts a slow turn, and a second one follows. The time counts from the response to the
second message, until the turn is cancelled (below zero: it was before the response arrived). With
`--rate`, other conversations have so many messages per second. With `--rasa`, the turn is that of
the demo assistant, and waits for its action server; it needs `.venv-rasa`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.acceptance.stack import Assistant
from tests.support.actions import SlowActions
from tests.support.broker import free_port, make_broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

HANDLER = """
import asyncio
import time

async def handle(message, output):
    if message.text != "what is my discount":
        return
    try:
        with open("began", "a") as file:
            file.write(f"{message.sender_id} {time.time()}\\n")
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        with open("stopped", "a") as file:
            file.write(f"{message.sender_id} {time.time()}\\n")
        raise
"""
CREDENTIALS = """
callback:
  url: {url}
  turns: interrupt
  quiet: 0.1
"""
SLOW, NEXT = "what is my discount", "please"
Times = Callable[[str], "dict[str, float]"]


def in_files(directory: Path) -> Times:
    """Return what reads the times that the handler has noted, by conversation."""

    def times(name: str) -> dict[str, float]:
        file = directory / name
        lines = file.read_text().splitlines() if file.exists() else []
        return {sender: float(at) for sender, at in map(str.split, lines)}

    return times


class Bench:
    """Conversations whose turns are interrupted."""

    def __init__(self, http: aiohttp.ClientSession, port: int, times: Times) -> None:
        self._http = http
        self._url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        self._times = times

    async def say(self, sender: str, text: str) -> None:
        async with self._http.post(self._url, json={"sender": sender, "message": text}) as response:
            assert response.status == 200, await response.text()

    async def interrupt(self, sender: str) -> float:
        """Return the milliseconds from the acknowledgement of a message to the end of the turn."""
        await self.say(sender, SLOW)
        await eventually(lambda: sender in self._times("began"), "the turn runs")
        await self.say(sender, NEXT)
        acknowledged = time.time()
        await eventually(lambda: sender in self._times("stopped"), "the turn is cancelled")
        return (self._times("stopped")[sender] - acknowledged) * 1000

    async def chat(self, rate: float) -> None:
        """Let other conversations have messages."""
        number = 0
        while rate:
            number += 1
            await self.say(f"other{number % 200}", "hi")
            await asyncio.sleep(1 / rate)


async def measure(rounds: int, rate: float, with_rasa: bool) -> None:
    broker, service, port = make_broker(), FakeService(), free_port()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    actions: SlowActions | None = None
    try:
        project.write("credentials.yml", CREDENTIALS.format(url=service.url))
        if with_rasa:
            assistant = Assistant(project)
            actions = found = SlowActions(assistant.action_port, lambda text: text == SLOW)
            await actions.start()
            await assistant.start_worker()
            times: Times = lambda name: dict(getattr(found, name))  # noqa: E731
        else:
            project.write("slow.py", HANDLER)
            await project.worker("--handler", "slow:handle")
            times = in_files(project.directory)
        await project.webhook(port)
        async with aiohttp.ClientSession() as http:
            bench = Bench(http, port, times)
            await bench.interrupt("warm-up")
            chat = asyncio.ensure_future(bench.chat(rate))
            found_ms = [await bench.interrupt(f"sender{number}") for number in range(rounds)]
            chat.cancel()
        cuts = statistics.quantiles(found_ms, n=100)
        print(f"{rounds} turns, {rate:g} messages per second beside them")
        print(f"p50 {cuts[49]:.1f} ms  p99 {cuts[98]:.1f} ms  longest {max(found_ms):.1f} ms")
    finally:
        project.close()
        if actions is not None:
            await actions.stop()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--rasa", action="store_true")
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.rounds, chosen.rate, chosen.rasa))
