"""A model server instead of a folder; a new model takes over between turns, under load."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio
from aiohttp import web

from tests.acceptance.stack import MODEL, START
from tests.support.broker import free_port
from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

SENDERS = 4
OLD, NEW = "OLD", "NEW"


def variant(name: str) -> bytes:
    """Return the demo model with another id, which ends each greeting with its name."""
    out = io.BytesIO()
    with tarfile.open(MODEL) as source, tarfile.open(fileobj=out, mode="w:gz") as target:
        for member in source:
            file = source.extractfile(member)
            content = file.read() if file else b""
            if member.name.endswith("metadata.json"):
                content = _renamed(content, name)
                member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _renamed(metadata: bytes, name: str) -> bytes:
    data = json.loads(metadata)
    data["model_id"] = f"{name}-model"
    for response in data["domain"]["responses"]["utter_greet"]:
        response["text"] += f" {name}"
    return json.dumps(data).encode()


class ModelServer(FakeService):
    """Answers as Rasa expects: 404 without a model, 304 for the one that the client has."""

    def __init__(self) -> None:
        super().__init__()
        self.model: tuple[str, bytes] | None = None
        self.answer = self._answer

    def _answer(self, call: Call) -> web.Response:
        if self.model is None:
            return web.Response(status=404)
        tag, body = self.model
        if call.headers.get("If-None-Match") == tag:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": tag, "filename": f"{tag}.tar.gz"})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[ModelServer]:
    server = ModelServer()
    await server.start()
    yield server
    await server.stop()


async def test_models_of_a_server_answer_and_are_replaced_between_turns(
    project: Project, service: FakeService, server: ModelServer, http: aiohttp.ClientSession
) -> None:
    port, database = free_port(), project.directory / "t.db"
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write(
        "endpoints.yml",
        endpoints
        + f"models:\n  url: {server.url}model\n  wait_time_between_pulls: 1\n"
        + f"tracker_store:\n  type: SQL\n  dialect: sqlite\n  db: {database}\n",
    )
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
    sent = 0

    async def says(sender: int) -> None:
        body = {"sender": f"s{sender}", "message": "hi"}
        async with http.post(url, json=body) as response:
            assert response.status == 200

    def greetings() -> list[str]:
        return [str(text)[-3:] for text in service.texts() if text]

    await asyncio.gather(project.webhook(port), project.deliver())
    worker = project.bridge("worker")
    await worker.prints("the model server has no model yet", patience=START)
    server.model = OLD, variant(OLD)
    await worker.prints("consuming", patience=START)

    async def shows(name: str) -> bool:
        status = project.bridge("status", "--json")
        await status.ends()
        processes: list[dict[str, Any]] = json.loads(status.log)["processes"]
        return [p["model"] for p in processes if p["role"] == "worker"] == [f"{name} ({name}-mode)"]

    for sender in range(SENDERS):
        await says(sender)
        sent += 1
    await eventually(lambda: greetings() == [OLD] * sent)
    assert await shows(OLD)

    server.model = NEW, variant(NEW)
    while NEW not in greetings():
        for sender in range(SENDERS):
            await says(sender)
            sent += 1
        await eventually(lambda n=sent: len(greetings()) == n, "each turn is answered")
    assert greetings() == sorted(greetings(), reverse=True), "never back to the old one"
    assert await shows(NEW)
    assert all(len(ids) == 1 for ids in turns(database)), "no turn runs on two models"


def turns(database: Any) -> list[set[str]]:
    """Return the ids of the models of each turn's events."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select sender_id, data from events order by sender_id, id")
        found: list[set[str]] = []
        last = None
        for sender, data in rows:
            event = json.loads(data)
            if event["event"] == "user" or sender != last:
                found.append(set())
            last = sender
            if model := (event.get("metadata") or {}).get("model_id"):
                found[-1].add(model)
    return [ids for ids in found if ids]
