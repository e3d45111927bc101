"""A worker with the demo assistant whose action returns the events that a message asks for."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from aiohttp import web

from tests.acceptance.stack import MODEL, START
from tests.support.broker import free_port
from tests.support.processes import Process, Project
from tests.support.service import FakeService

FIRED = "Hello! This is the ice cream desk"
"""Begins the reply to the intent of `reminder`."""


def reminder(seconds: float, name: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return the event of a reminder that is due in `seconds`."""
    due = datetime.now() + timedelta(seconds=seconds)
    event = {"event": "reminder", "intent": "greet", "entities": None}
    return {
        **event,
        "date_time": due.isoformat(),
        "name": name,
        "kill_on_user_msg": False,
        **changes,
    }


class Reminding:
    """The project: callback channel, tracker store in SQLite, the action server of this process."""

    def __init__(self, project: Project, service: FakeService, port: int) -> None:
        self.project = project
        self.service = service
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.database = project.directory / "trackers.db"
        self.actions = free_port()
        self.workers: list[Process] = []
        project.write("credentials.yml", f"callback:\n  url: {service.url}\nrest:\n")
        endpoints = (project.directory / "endpoints.yml").read_text()
        project.write(
            "endpoints.yml",
            f"{endpoints}action_endpoint:\n  url: http://127.0.0.1:{self.actions}/webhook\n"
            f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {self.database}\n",
        )

    def start_worker(self) -> Process:
        worker = self.project.bridge("worker", "-m", str(MODEL))
        self.workers.append(worker)
        return worker

    async def works(self, *workers: Process) -> None:
        for worker in workers:
            await worker.prints("consuming", patience=START)

    async def say(self, sender: str, events: list[dict[str, Any]], id: str | None = None) -> None:
        """Send a message whose turn returns these events."""
        body: dict[str, Any] = {
            "sender": sender,
            "message": "what is my discount",
            "metadata": {"events": events},
            **({"message_id": id} if id else {}),
        }
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.url}/webhooks/callback/webhook", json=body) as response,
        ):
            assert response.status == 200, await response.text()

    def rows(self) -> list[tuple[str, str, str]]:
        """Return sender, type and data of each stored event, in order."""
        if not self.database.exists():
            return []
        with sqlite3.connect(self.database, timeout=30) as connection:
            try:
                return list(
                    connection.execute("select sender_id, type_name, data from events order by id")
                )
            except sqlite3.OperationalError:
                return []

    def fired(self) -> Counter[str]:
        """Return how many reminders have fired in each conversation, as the trackers know it."""
        return Counter(
            sender for sender, kind, data in self.rows() if kind == "user" and "EXTERNAL" in data
        )

    def scheduled(self) -> Counter[str]:
        return Counter(sender for sender, kind, _ in self.rows() if kind == "reminder")


@asynccontextmanager
async def actions(port: int) -> AsyncIterator[None]:
    """Serve an action server that returns the events in the metadata of the message."""

    async def run(request: web.Request) -> web.Response:
        call = await request.json()
        metadata = call["tracker"]["latest_message"].get("metadata") or {}
        return web.json_response({"events": metadata.get("events", []), "responses": []})

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/webhook", run)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)
