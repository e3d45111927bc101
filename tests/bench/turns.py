"""Compares the CPU time of a turn in the worker with that of a bare loop over Rasa's agent.

    .venv-rasa/bin/python -m tests.bench.turns [--turns 10 100] [--conversations 10]
                                               [--store postgresql://user:password@host/name]

Both run the same turns of the demo assistant on the same kind of tracker store (SQLite by default):
the bare loop calls `agent.handle_message`, as `rasa run` does after it has parsed a request; the
worker also consumes each message from RabbitMQ, looks for duplicates, and publishes each reply and
awaits its confirm. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.acceptance.stack import MODEL
from tests.bench.acknowledge import cpu_seconds
from tests.support.broker import TOP, free_port, make_broker
from tests.support.processes import Process, Project
from tests.support.waiting import eventually

TEXTS = ("hi", "where are you", "qwertz asdfgh", "bye")
PATIENCE = 900.0
"""Seconds to wait for a load or for all turns: the machine may be busy."""
WARM_UP = 3
"""Turns, each in a conversation, before the measurement starts."""

BARE = """
import asyncio, json, logging, sys, time
from worker import agent
from rasa.core.channels.channel import OutputChannel, UserMessage

model, endpoints, turns, conversations, texts, warm_up = json.loads(sys.argv[1])

class Silent(OutputChannel):
    async def send_response(self, recipient_id, message):
        pass

async def main():
    loaded = (await agent.load(model, endpoints, logging.INFO)).models.agent
    async def talk(sender, n):
        text = texts[n % len(texts)]
        await loaded.handle_message(UserMessage(text, Silent(), sender, input_channel="callback"))
    for n in range(warm_up):
        await talk(f"w{n}", n)
    began = time.process_time()
    for n in range(turns):
        for c in range(conversations):
            await talk(f"c{c}", n)
    print("seconds", time.process_time() - began)

asyncio.run(main())
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


def bare(turns: int, conversations: int, store: str | None) -> float:
    """Return the CPU seconds of a turn in a bare loop."""
    folder = Path(tempfile.mkdtemp())
    file = folder / "endpoints.yml"
    file.write_text(endpoints(store, folder / f"bare{turns}.db"))
    given = json.dumps([str(MODEL), str(file), turns, conversations, TEXTS, WARM_UP])
    run = subprocess.run(
        [sys.executable, "-c", BARE, given], cwd=TOP, capture_output=True, text=True, check=True
    )
    return float(run.stdout.rpartition("seconds ")[2]) / (turns * conversations)


async def worker(turns: int, conversations: int, store: str | None) -> float:
    """Return the CPU seconds of a turn in the worker."""
    broker = make_broker()
    broker.start()
    project = Project(Path(tempfile.mkdtemp()), broker.url, "bench")
    given = (project.directory / "endpoints.yml").read_text()
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:9/\n")
    project.write("endpoints.yml", given + endpoints(store, project.directory / f"ours{turns}.db"))
    try:
        port = free_port()
        process = project.bridge("worker", "-m", str(MODEL), "-v")
        await project.webhook(port)
        await process.prints("consuming", patience=PATIENCE)
        url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
        async with aiohttp.ClientSession() as http:

            async def post(sender: str, n: int) -> None:
                body = {"sender": sender, "message": TEXTS[n % len(TEXTS)]}
                async with http.post(url, json=body) as response:
                    assert response.status == 200

            for n in range(WARM_UP):
                await post(f"w{n}", n)
            await turns_done(process, WARM_UP)
            before = cpu_seconds(process)
            for n in range(turns):
                await asyncio.gather(*(post(f"c{c}", n) for c in range(conversations)))
            await turns_done(process, WARM_UP + turns * conversations)
            return (cpu_seconds(process) - before) / (turns * conversations)
    finally:
        project.close()
        broker.close()


async def turns_done(process: Process, count: int) -> None:
    await eventually(lambda: process.log.count("turn took") >= count, "all turns end", PATIENCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--conversations", type=int, default=10)
    parser.add_argument("--store", help="URL of a PostgreSQL server; default: SQLite files")
    given = parser.parse_args()
    for turns in given.turns:
        alone = bare(turns, given.conversations, given.store)
        ours = asyncio.run(worker(turns, given.conversations, given.store))
        print(
            f"{turns:4} turns a conversation: bare loop {alone * 1000:.1f} ms,"
            f" worker {ours * 1000:.1f} ms a turn, ratio {alone / ours:.2f}"
        )


if __name__ == "__main__":
    main()
