"""Measures memory and CPU time of each process for turns of the demo assistant. Asserts nothing.

    .venv-rasa/bin/python -m tests.bench.sizing [--conversations 40] [--edges .venv/bin/python]

Starts a private broker, the action server, one worker with the trained demo assistant and a SQLite
tracker store, one webhook and one deliver (the last two with the Python given by `--edges`). Posts
the demo conversation from many senders at once, and prints memory, CPU time per message and turns
per second. Compare CPU times: the rate depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import yaml

from tests.acceptance.stack import DEMO, Assistant
from tests.bench.acknowledge import cpu_seconds
from tests.bench.memory import rss
from tests.support.broker import free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

WARM_UP = 5
"""Number of conversations before the measurement starts."""


class Bench:
    """The processes, and the senders that write to them."""

    def __init__(self, project: Project, service: FakeService, http: aiohttp.ClientSession) -> None:
        self._project = project
        self._service = service
        self._http = http
        self._port = free_port()
        self._talked = 0
        self.processes: dict[str, Process] = {}
        self.lines = [
            (line["say"], line.get("metadata"))
            for line in yaml.safe_load((DEMO / "conversation.yml").read_text())
        ]

    async def start(self, edges: str) -> None:
        assistant = Assistant(self._project)
        webhook = [edges, "-m", "bridge", "webhook", "-i", "127.0.0.1", "-p", str(self._port)]
        deliver = self._project.start("deliver", [edges, "-m", "bridge", "deliver"])
        listening = self._project.start("webhook", webhook)
        worker, _ = await asyncio.gather(assistant.start_worker(), assistant.start_actions())
        await asyncio.gather(listening.prints("listening on"), deliver.prints("consuming"))
        self.processes = {"webhook": listening, "worker": worker, "deliver": deliver}

    async def converse(self, conversations: int) -> None:
        """Hold this many conversations at once; return when each has its last reply.

        A sender posts its next message as soon as the previous one is acknowledged.
        """
        senders = [f"s{self._talked + n}" for n in range(conversations)]
        self._talked += conversations
        url = f"http://127.0.0.1:{self._port}/webhooks/callback/webhook"

        async def talk(sender: str) -> None:
            for text, metadata in self.lines:
                body = {"sender": sender, "message": text, "metadata": metadata}
                async with self._http.post(url, json=body) as response:
                    assert response.status == 200

        await asyncio.gather(*(talk(sender) for sender in senders))
        await eventually(lambda: self._goodbyes() == self._talked, patience=280)

    def _goodbyes(self) -> int:
        return sum("Goodbye" in str(call.body.get("text")) for call in self._service.accepted)

    async def measure(self, conversations: int) -> None:
        before = {name: (rss(p), cpu_seconds(p)) for name, p in self.processes.items()}
        replies = len(self._service.accepted)
        began = time.monotonic()
        await self.converse(conversations)
        took = time.monotonic() - began
        turns = conversations * len(self.lines)
        replies = len(self._service.accepted) - replies
        print(f"{turns} turns, {replies} replies in {took:.1f} s: {turns / took:.1f} turns/s")
        for name, process in self.processes.items():
            memory, cpu = before[name]
            ms = (cpu_seconds(process) - cpu) / (replies if name == "deliver" else turns) * 1e3
            unit = "reply" if name == "deliver" else "message"
            print(
                f"{name:8} {memory:4.0f} MB before, {rss(process):4.0f} MB after,"
                f" {ms:6.2f} ms of CPU time per {unit}"
            )


async def main(conversations: int, edges: str) -> None:
    broker = make_broker()
    service = FakeService()
    broker.start()
    await service.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    try:
        async with aiohttp.ClientSession() as http:
            bench = Bench(project, service, http)
            await bench.start(edges)
            for process in bench.processes.values():
                print(f"{rss(process):4.0f} MB at the start")
            await bench.converse(WARM_UP)
            await bench.measure(conversations)
            await bench.measure(conversations)
    finally:
        project.close()
        await service.stop()
        broker.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=40)
    parser.add_argument("--edges", default=sys.executable, metavar="PYTHON")
    options = parser.parse_args()
    asyncio.run(main(options.conversations, options.edges))
