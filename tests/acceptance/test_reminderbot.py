"""A project in the shape of Rasa's reminderbot, trained and run with its own action server."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.stack import START, answers
from tests.support.broker import Broker, free_port
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 120.0
TRAINING = 300.0
"""Seconds that `rasa train` may need on a busy machine."""


class Bot:
    """The project behind webhook and deliver; tests start and kill its workers."""

    def __init__(self, project: Project, service: FakeService, http: aiohttp.ClientSession) -> None:
        self.project = project
        self.service = service
        self.http = http
        self.port = free_port()
        self.database = project.directory / "trackers.db"
        self._said = 0

    async def start(self) -> None:
        """Train the model; start the action server, webhook and deliver."""
        shutil.copytree(
            Path(__file__).with_name("reminderbot"), self.project.directory, dirs_exist_ok=True
        )
        training = self.project.start(
            "train", ["rasa", "train"], {"RASA_TELEMETRY_ENABLED": "false"}
        )
        assert await training.ends(TRAINING) == 0, training.log
        actions = free_port()
        self.project.write("credentials.yml", f"callback:\n  url: {self.service.url}\n")
        endpoints = (self.project.directory / "endpoints.yml").read_text()
        self.project.write(
            "endpoints.yml",
            f"{endpoints}action_endpoint:\n  url: http://127.0.0.1:{actions}/webhook\n"
            f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {self.database}\n",
        )
        command = ["rasa", "run", "actions", "--port", str(actions)]
        self.project.start("actions", command, {"SANIC_HOST": "127.0.0.1"})
        await eventually(lambda: answers(f"http://127.0.0.1:{actions}/health"), "actions", START)
        await asyncio.gather(
            self.project.webhook(self.port, "--enable-api"), self.project.deliver()
        )

    async def worker(self) -> Process:
        worker = self.project.bridge("worker")
        await worker.prints("consuming", patience=START)
        return worker

    async def say(self, sender: str, text: str) -> str:
        """Send a message and return the text of the next reply."""
        before = len(self.service.texts(sender))
        url = f"http://127.0.0.1:{self.port}/webhooks/callback/webhook"
        async with self.http.post(url, json={"sender": sender, "message": text}) as response:
            assert response.status == 200, await response.text()
        await self.heard(sender, before + 1)
        return str(self.service.texts(sender)[before])

    async def heard(self, sender: str, count: int) -> None:
        texts = self.service.texts
        await eventually(lambda: len(texts(sender)) >= count, f"{sender}: {count}", PATIENCE)

    async def trigger(self, sender: str, intent: str, entities: Any, to: str = "latest") -> Any:
        url = f"http://127.0.0.1:{self.port}/conversations/{sender}/trigger_intent"
        body = {"name": intent, "entities": entities}
        async with self.http.post(url, params={"output_channel": to}, json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    def stored(self, sender: str, kind: str) -> int:
        """Return how many events of a type the tracker store holds for a conversation."""
        with sqlite3.connect(self.database, timeout=30) as connection:
            query = "select count(*) from events where sender_id = ? and type_name = ?"
            (count,) = connection.execute(query, (sender, kind)).fetchone()
        return int(count)

    async def saved(self, sender: str, kind: str) -> None:
        await eventually(lambda: self.stored(sender, kind) > 0, f"{sender}: {kind}", PATIENCE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    service = FakeService()
    await service.start()
    project = Project(tmp_path_factory.mktemp("reminderbot"), broker.url, f"test{free_port()}")
    try:
        async with aiohttp.ClientSession() as http:
            bot = Bot(project, service, http)
            await bot.start()
            yield bot
    finally:
        project.close()
        await service.stop()


async def test_a_reminder_fires_once_across_a_killed_worker_and_a_restart(bot: Bot) -> None:
    worker = await bot.worker()
    assert await bot.say("early", "hello") == "What may I remind you of?"
    asked = await bot.say("early", "remind me to call Ada in 2 seconds")
    assert asked == "I will remind you in 2 seconds."
    await bot.say("late", "please remind me in 4 seconds to call Grace")
    await bot.saved("late", "reminder")
    worker.kill()
    # Both are due while no worker runs, or soon after the restart.
    other = await bot.worker()
    await bot.heard("early", 3)
    await bot.heard("late", 2)
    other.terminate()
    assert await other.ends() == 0, other.log
    last = await bot.worker()
    # What is sent now runs behind every copy of a reminder that could still be there.
    for sender in ("early", "late"):
        await bot.say(sender, "hello")
    assert bot.service.texts("early")[2:] == ["Remember to call Ada!", "What may I remind you of?"]
    assert bot.service.texts("late")[1:] == ["Remember to call Grace!", "What may I remind you of?"]
    last.kill()


async def test_a_reminder_is_cancelled_from_another_worker(bot: Bot) -> None:
    first = await bot.worker()
    await bot.say("forgets", "remind me to call Ada in 15 seconds")
    await bot.saved("forgets", "reminder")
    first.kill()
    second = await bot.worker()
    cancelled = await bot.say("forgets", "forget my reminders")
    assert cancelled == "All your reminders are cancelled."
    # Due later than the one that was cancelled.
    await bot.say("keeps", "remind me to call Edsger in 15 seconds")
    await bot.heard("keeps", 2)
    assert bot.service.texts("keeps")[1] == "Remember to call Edsger!"
    await second.prints("reminder does not fire: it was cancelled", patience=PATIENCE)
    assert len(bot.service.texts("forgets")) == 2
    second.kill()


async def test_an_event_from_outside_reaches_the_user(bot: Bot) -> None:
    worker = await bot.worker()
    told = await bot.say("reader", "what is my id")
    (id,) = re.findall(r"conversation is (.+)\.", told)
    assert id == "reader"
    await bot.saved(id, "bot")
    # As an object, as the reminderbot's text says, and as a list, as the tracker keeps it.
    await bot.trigger(id, "EXTERNAL_alarm", {"sensor": "door"})
    await bot.trigger(id, "EXTERNAL_alarm", [{"entity": "sensor", "value": "roof"}], "callback")
    await bot.heard("reader", 3)
    assert bot.service.texts("reader")[1:] == [
        "The sensor door gives an alarm.",
        "The sensor roof gives an alarm.",
    ]
    assert bot.stored("reader", "user") == 3
    worker.kill()
