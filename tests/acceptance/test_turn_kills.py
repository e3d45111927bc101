"""Killed workers under bursts of messages: each one is in exactly one saved turn.

The turns are saved in SQLite, and the worker's own check recognises them, as it does with Rasa.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import aiohttp

from tests.support.broker import free_port
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.system import longer
from tests.support.waiting import eventually

POLICIES = ("each", "collect", "latest", "interrupt")
HANDLER = '''
import asyncio
import json
import random
import sqlite3
from contextlib import suppress
from hashlib import sha256
from types import SimpleNamespace

from worker import duplicates


class Store:
    """As much of Rasa's MessageProcessor as the worker relies on."""

    def __init__(self):
        self.rows = sqlite3.connect("turns.db", timeout=60, isolation_level=None)

    async def get_tracker(self, sender):
        found = self.rows.execute("select id, metadata from turns where sender = ?", (sender,))
        events = [SimpleNamespace(message_id=id, metadata=json.loads(m)) for id, m in found]
        return SimpleNamespace(sender_id=sender, events=events)

    async def save_tracker(self, message):
        row = (message.sender_id, message.id, json.dumps(message.metadata))
        self.rows.execute("insert into turns (sender, id, metadata) values (?, ?, ?)", row)
        await asyncio.sleep(random.uniform(0, 0.02))


store = Store()
duplicates.watch(store)


async def handle(message, output):
    async def run(new):
        await store.get_tracker(new.sender_id)
        await asyncio.sleep(random.uniform(0, 0.15))
        await output.send_text_message(new.sender_id, sha256(new.id.encode()).hexdigest())
        await store.save_tracker(new)

    with suppress(duplicates.AlreadyRun):
        await duplicates.run_new(message, run)
'''
CHANNEL = """
{policy}:
  channel: callback
  url: {url}{policy}
  turns: {policy}
{options}"""
TABLE = "create table turns (n integer primary key, sender text, id text, metadata text)"


class Bursts:
    """Conversations on a channel of each policy; `acknowledged` are their messages, in order."""

    def __init__(self, project: Project, service: FakeService) -> None:
        self.project = project
        self.service = service
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        self.base = f"http://127.0.0.1:{free_port()}"
        self.acknowledged: dict[str, list[str]] = {}
        options = {"each": "", "latest": "", "collect": "  quiet: 0.3\n  max_wait: 1\n"}
        options["interrupt"] = options["collect"]
        channels = [
            CHANNEL.format(policy=policy, url=service.url, options=options[policy])
            for policy in POLICIES
        ]
        project.write("credentials.yml", "".join(channels))
        project.write("turning.py", HANDLER)
        self.database = project.directory / "turns.db"
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute(TABLE)

    async def talk(self, policy: str, sender: str, bursts: int) -> None:
        """Send bursts of messages; each one is repeated until it is acknowledged."""
        sent = self.acknowledged.setdefault(sender, [])
        async with aiohttp.ClientSession() as http:
            for _ in range(bursts):
                for _ in range(self.random.randint(1, 6)):
                    id = f"{sender}-{len(sent):03}"
                    while not await self._accepted(http, policy, sender, id):
                        await asyncio.sleep(0.1)
                    sent.append(id)
                    await asyncio.sleep(self.random.choice((0, 0, 0.1)))
                await asyncio.sleep(self.random.uniform(0, 1.0))

    async def _accepted(self, http: Any, policy: str, sender: str, id: str) -> bool:
        url = f"{self.base}/webhooks/{policy}/webhook"
        # Logs contain ids, but no texts.
        body, headers = {"sender": sender, "message": digest(id)}, {"Idempotency-Key": id}
        async with http.post(url, json=body, headers=headers) as response:
            return bool(response.status == 200)

    def saved(self) -> dict[str, list[list[str]]]:
        """Return the ids in each saved turn, by conversation."""
        turns: dict[str, list[list[str]]] = {}
        with closing(sqlite3.connect(self.database)) as connection:
            for sender, id, metadata in connection.execute(
                "select sender, id, metadata from turns order by n"
            ):
                parts = (json.loads(metadata) or {}).get("messages") or [{"id": id}]
                turns.setdefault(sender, []).append([part["id"] for part in parts])
        return turns

    def done(self) -> bool:
        saved = self.saved()
        return all(
            not sent or any(sent[-1] in turn for turn in saved.get(sender, []))
            for sender, sent in self.acknowledged.items()
        )

    def wrong(self) -> Iterator[str]:
        """Yield what is wrong with the saved turns and the replies."""
        saved, replies = self.saved(), {call.body["text"] for call in self.service.accepted}
        for sender, sent in self.acknowledged.items():
            ids = [id for turn in saved.get(sender, []) for id in turn]
            if ids != sorted(set(ids)):
                yield f"{sender}: repeated or out of order: {ids}"
            missing = set(sent) - set(ids)
            if sender.startswith("latest"):
                missing &= set(sent[-1:])
            if missing:
                yield f"{sender}: lost {sorted(missing)}"
            if unanswered := {digest(turn[-1]) for turn in saved.get(sender, [])} - replies:
                yield f"{sender}: no reply to {sorted(unanswered)}"


def digest(id: str) -> str:
    return hashlib.sha256(id.encode()).hexdigest()


async def test_each_message_is_in_one_saved_turn_whatever_is_killed(
    project: Project, service: FakeService
) -> None:
    bursts, kills = Bursts(project, service), longer(4, 24)
    port = int(bursts.base.rpartition(":")[2])

    async def worker() -> Any:
        return await project.worker("--handler", "turning:handle")

    _, _, *workers = await asyncio.gather(
        project.webhook(port), project.deliver(), worker(), worker()
    )
    talking = [
        asyncio.ensure_future(bursts.talk(policy, f"{policy}{number}", longer(8, 40)))
        for policy in POLICIES
        for number in range(4)
    ]
    for _ in range(kills):
        await asyncio.sleep(bursts.random.uniform(0.1, 0.8))
        workers.pop(0).kill()
        workers.append(await worker())
    await asyncio.gather(*talking)
    await eventually(bursts.done, "the last message of each conversation is saved", 120)
    turns = bursts.saved()
    await eventually(lambda: not list(bursts.wrong()), f"{list(bursts.wrong())} {bursts.seed}")
    grouped = [turn for found in turns.values() for turn in found if len(turn) > 1]
    assert grouped, "turns have several messages"
    assert all(len(turn) == 1 for name in turns if "each" in name for turn in turns[name])
