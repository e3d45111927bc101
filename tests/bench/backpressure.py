"""Measures memory and latency with a backlog behind a slow assistant. Asserts nothing.

    python -m tests.bench.backpressure [--messages 100000] [--conversations 10000]

Starts a private broker, one webhook and one worker whose handler never returns. Posts messages
over loopback and prints the memory of both processes and the acknowledgement latency while the
backlog grows. Then replaces the worker with a fast one, which runs the backlog, and prints how
many messages were lost, repeated or out of order. There are no replies.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.bench.memory import rss
from tests.support.broker import free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.service import FakeService

HANDLERS = """
import asyncio
import os

LOG = os.open("turns.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def stuck(message, output):
    await asyncio.sleep(3600)


async def fast(message, output):
    os.write(LOG, f"{message.text}\\n".encode())
"""
CONNECTIONS = 20
STEPS = 4
LAST = 2000


class Sender:
    """Posts messages of all conversations in turn, `CONNECTIONS` at a time."""

    def __init__(self, http: aiohttp.ClientSession, url: str, conversations: int) -> None:
        self._http = http
        self._url = url
        self._conversations = conversations
        self.sent = 0

    async def post(self, messages: int) -> list[float]:
        """Send this number of messages; return the acknowledgement latencies in ms."""
        until = self.sent + messages
        latencies: list[float] = []

        async def talk() -> None:
            while self.sent < until:
                number, conversation = divmod(self.sent, self._conversations)
                self.sent += 1
                body = {"sender": f"c{conversation}", "message": f"c{conversation}/{number}"}
                began = time.perf_counter()
                async with self._http.post(self._url, json=body) as response:
                    await response.read()
                    assert response.status == 200
                latencies.append((time.perf_counter() - began) * 1000)

        await asyncio.gather(*(talk() for _ in range(CONNECTIONS)))
        return latencies


def out_of_order(turns: list[str]) -> int:
    """Return the number of turns that ran out of order within their conversation."""
    done: dict[str, int] = {}
    swapped = 0
    for turn in turns:
        conversation, _, number = turn.partition("/")
        swapped += int(number) != done.get(conversation, -1) + 1
        done[conversation] = int(number)
    return swapped


async def grow(sender: Sender, webhook: Process, worker: Process, messages: int) -> None:
    """Post a few messages, then equal steps; print memory and latency after each step."""
    goals = sorted({LAST, *(messages * step // STEPS for step in range(1, STEPS + 1))})
    for goal in goals:
        began = time.perf_counter()
        latencies = await sender.post(goal - sender.sent)
        rate = len(latencies) / (time.perf_counter() - began)
        # Only the last ones: the latency with this backlog.
        cuts = statistics.quantiles(latencies[-LAST:], n=100)
        print(
            f"{memory(sender.sent, webhook, worker)}"
            f"   ack p50 {cuts[49]:.1f} ms  p99 {cuts[98]:.1f} ms   {rate:.0f}/s",
            flush=True,
        )


async def consume(log: Path, webhook: Process, worker: Process, messages: int) -> list[str]:
    """Print memory while the worker runs the backlog; return the turns."""
    began = time.perf_counter()
    size = next_step = 0
    while size < messages:
        await asyncio.sleep(0.5)
        size = len(turns_of(log))
        if size >= next_step or size >= messages:
            print(memory(messages - size, webhook, worker), flush=True)
            next_step += messages // STEPS
    print(f"{messages / (time.perf_counter() - began):.0f} turns/s")
    return turns_of(log)


def turns_of(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def memory(queued: int, webhook: Process, worker: Process) -> str:
    return f"{queued:7} queued  webhook {rss(webhook):4.0f} MB  worker {rss(worker):4.0f} MB"


async def measure(messages: int, conversations: int) -> None:
    broker = make_broker()
    service = FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("endpoints.yml", f"bridge:\n  url: {broker.url}\n  namespace: bench\n")
        project.write("handler.py", HANDLERS)
        port = free_port()
        webhook, worker = await asyncio.gather(
            project.webhook(port),
            project.worker("--handler", "handler:stuck", "--grace", "0"),
        )
        url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        async with aiohttp.ClientSession() as http:
            sender = Sender(http, url, conversations)
            print(f"{messages} messages in {conversations} conversations")
            print(memory(0, webhook, worker))
            await grow(sender, webhook, worker, messages)
        worker.terminate()
        await worker.ends()
        worker = await project.worker("--handler", "handler:fast")
        turns = await consume(project.directory / "turns.log", webhook, worker, messages)
        lost = messages - len(set(turns))
        print(f"lost {lost}, repeated {len(turns) - len(set(turns))}, ", end="")
        print(f"out of order {out_of_order(turns)}")
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--conversations", type=int, default=10_000)
    options = parser.parse_args()
    asyncio.run(measure(options.messages, options.conversations))
