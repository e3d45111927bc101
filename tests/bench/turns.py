"""Compares the CPU time of a turn in the worker with that of a bare loop over Rasa's agent.

    .venv-rasa/bin/python -m tests.bench.turns [--turns 10 100] [--messages 200] [--rounds 3]
                                               [--store postgresql://user:password@host/name]

Both run the same turns of the demo assistant on the same kind of tracker store (SQLite by default):
the bare loop calls `agent.handle_message`, as `rasa run` does after it has parsed a request; the
worker also consumes each message from RabbitMQ, looks for duplicates, and publishes each reply and
awaits its confirm. Both stay up, and their rounds are interleaved. Prints each round, and the
median of the ratios. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.acceptance.stack import MODEL
from tests.bench import cpu
from tests.support.broker import TOP, free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.waiting import eventually

TEXTS = ("hi", "where are you", "qwertz asdfgh", "bye")
PATIENCE = 900.0
"""Seconds to wait for a load or for all turns: the machine may be busy."""
WARM_UP = 3
"""Turns, each in a conversation, before the measurement starts."""

BARE = """
import asyncio, json, logging, sys
import uvloop
from rasa.core.agent import load_agent
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.utils import AvailableEndpoints
from rasa.utils.log_utils import configure_structlog

model, endpoints, texts = json.loads(sys.argv[1])
configure_structlog(logging.WARNING)  # else structlog writes its debug lines
logging.getLogger("rasa").setLevel(logging.WARNING)

class Silent(OutputChannel):
    async def send_response(self, recipient_id, message):
        pass

async def main():
    read = AvailableEndpoints.read_endpoints(endpoints)
    loaded = await load_agent(model_path=model, endpoints=read)
    async def talk(sender, n):
        text = texts[n % len(texts)]
        await loaded.handle_message(UserMessage(text, Silent(), sender, input_channel="callback"))
    print("ready", flush=True)
    for line in sys.stdin:
        prefix, turns, conversations = json.loads(line)
        for n in range(turns):
            for c in range(conversations):
                await talk(f"{prefix}{c}", n)
        print("done", flush=True)

uvloop.run(main())
"""


def endpoints(store: str | None, database: Path) -> str:
    if store is None:
        return f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {database}\n"
    url = urlsplit(store)
    return (
        f"tracker_store:\n  type: SQL\n  dialect: postgresql\n  url: {url.hostname}:{url.port}\n"
        f"  db: {database.stem}\n  login_db: {url.path[1:]}\n"
        f"  username: {url.username}\n  password: {url.password}\n"
    )


class Bare:
    """A process that runs turns with Rasa's agent, one after the other."""

    def __init__(self, folder: Path, store: str | None) -> None:
        file = folder / "endpoints.yml"
        file.write_text(endpoints(store, folder / f"bare_{folder.name}.db"))
        given = json.dumps([str(MODEL), str(file), TEXTS])
        self.popen = subprocess.Popen(
            [sys.executable, "-c", BARE, given],
            cwd=TOP,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._says("ready")

    def _says(self, word: str) -> None:
        assert self.popen.stdout is not None
        while (line := self.popen.stdout.readline()).strip() != word:
            assert line, "the bare loop has ended"

    def run(self, prefix: str, turns: int, conversations: int) -> float:
        """Return the CPU seconds of a turn."""
        assert self.popen.stdin is not None
        before = cpu.seconds(self.popen.pid)
        print(json.dumps([prefix, turns, conversations]), file=self.popen.stdin, flush=True)
        self._says("done")
        return (cpu.seconds(self.popen.pid) - before) / (turns * conversations)

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()


class Worker:
    """A worker, and a webhook that receives its messages."""

    def __init__(self, project: Project, process: Process, http: aiohttp.ClientSession) -> None:
        self._process = process
        self._http = http
        self._done = 0
        self.port = free_port()
        self._project = project

    async def run(self, prefix: str, turns: int, conversations: int) -> float:
        """Return the CPU seconds of a turn."""
        pid = self._process.popen.pid
        before = cpu.seconds(pid)
        for n in range(turns):
            await asyncio.gather(*(self._post(f"{prefix}{c}", n) for c in range(conversations)))
        self._done += turns * conversations
        log = self._process
        await eventually(
            lambda: log.log.count("turn took") >= self._done, "all turns end", PATIENCE
        )
        return (cpu.seconds(pid) - before) / (turns * conversations)

    async def _post(self, sender: str, n: int) -> None:
        url = f"http://127.0.0.1:{self.port}/webhooks/callback/webhook"
        body = {"sender": sender, "message": TEXTS[n % len(TEXTS)]}
        async with self._http.post(url, json=body) as response:
            assert response.status == 200


async def compare(given: Any, project: Project, http: aiohttp.ClientSession) -> None:
    """Print the rounds of both, interleaved, and the medians."""
    text = (project.directory / "endpoints.yml").read_text()
    database = project.directory / f"ours_{project.directory.name}.db"
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:9/\n")
    project.write("endpoints.yml", text + endpoints(given.store, database))
    process = project.bridge("worker", "-m", str(MODEL), "-v", fork=False)
    ours = Worker(project, process, http)
    await project.webhook(ours.port)
    await process.prints("consuming", patience=PATIENCE)
    bare = Bare(Path(tempfile.mkdtemp()), given.store)
    try:
        bare.run("w", 1, WARM_UP)
        await ours.run("w", 1, WARM_UP)
        for turns in given.turns:
            rounds = []
            for n in range(given.rounds):
                what = f"{turns}.{n}.", turns, max(1, given.messages // turns)
                alone = await asyncio.to_thread(bare.run, *what)
                rounds.append((alone, await ours.run(*what)))
                print(f"  {alone * 1000:.2f} {rounds[-1][1] * 1000:.2f}", flush=True)
            middle = statistics.median(a / b for a, b in rounds)
            alone, ms = (statistics.median(column) * 1000 for column in zip(*rounds, strict=True))
            print(
                f"{turns:4} turns a conversation: bare loop {alone:.2f} ms, worker {ms:.2f} ms a"
                f" turn, ratio {middle:.2f}",
                flush=True,
            )
    finally:
        bare.close()


async def measure(given: Any) -> None:
    broker = make_broker()
    broker.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    try:
        async with aiohttp.ClientSession() as http:
            await compare(given, project, http)
    finally:
        project.close()
        broker.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--messages", type=int, default=200, help="turns of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", help="URL of a PostgreSQL server; default: SQLite files")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
