"""The routes of Rasa's HTTP API: what a worker receives, and what the caller gets. No rasa."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest_asyncio

from bridge.errors import RejectedDeliveryError
from bridge.messages import InboundMessage
from bridge.node import Node
from bridge.settings.files import BrokerSettings, Partitions
from tests.support.broker import Broker
from tests.support.processes import Project
from worker.output_channel import QueueOutput
from worker.role import worker_node

JWT_KEY = "s" * 32


class Caller:
    """A webhook with the API, and a worker that answers each command with itself."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self.http = http
        self.url = f"http://127.0.0.1:{port}"
        self.received: list[InboundMessage] = []

    async def answer(self, message: InboundMessage, output: Any) -> None:
        self.received.append(message)
        command = message.command
        assert command is not None
        if command.arguments.get("body") == {"name": "fail"}:
            raise RejectedDeliveryError("no")
        if command.arguments.get("body") == {"name": "wait"}:
            await asyncio.sleep(3600)
        body = json.dumps({"command": command.name, "arguments": command.arguments})
        await output.answer({"status": 201, "body": body, "content_type": "application/json"})

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        async with self.http.request(method, f"{self.url}{path}", **more) as response:
            return response.status, await response.json()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


@pytest_asyncio.fixture
async def caller(
    broker: Broker, project: Project, http: aiohttp.ClientSession, port: int
) -> AsyncIterator[Caller]:
    caller = Caller(http, port)
    settings = BrokerSettings(broker.url, project.namespace, Partitions(4, 2))
    node: Node = worker_node(
        settings, caller.answer, QueueOutput, concurrency=None, prefetch=16, grace=0.5
    )
    node.start(lambda error: None)
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1/\nrest:\n")
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("endpoints.yml", f"{endpoints}  api: {{timeout: 5}}\n")
    assert await node.ready(60)
    await project.webhook(port)
    yield caller
    await node.stop()


async def test_each_route_is_a_command(caller: Caller) -> None:
    ada = "/conversations/web%3Aada%2F1"
    for method, path, command, body in (
        ("POST", f"{ada}/trigger_intent", "trigger_intent", {"name": "greet"}),
        ("POST", f"{ada}/execute", "execute", {"name": "act"}),
        ("POST", f"{ada}/messages", "messages", {"text": "hi"}),
        ("POST", f"{ada}/predict", "predict", None),
        ("POST", f"{ada}/tracker/events", "append_events", [1]),
        ("PUT", f"{ada}/tracker/events", "replace_events", [2]),
        ("GET", f"{ada}/tracker", "tracker", None),
        ("GET", f"{ada}/story", "story", None),
        ("POST", "/model/parse", "parse", {"text": "hi"}),
        ("POST", "/model/predict", "predict_events", []),
        ("GET", "/status", "status", None),
        ("GET", "/domain", "domain", None),
    ):
        data = None if body is None else json.dumps(body)
        status, answer = await caller.call(method, f"{path}?until=3&token=x", data=data)
        message = caller.received[-1]
        assert (status, answer["command"]) == (201, command), path
        assert answer["arguments"].get("body") == body
        assert answer["arguments"]["query"]["until"] == "3"
        assert "token" not in answer["arguments"]["query"]
        assert message.command is not None
        in_conversation = path.startswith(ada)
        assert (message.sender_id == "web:ada/1") == in_conversation
        reads = command in ("tracker", "story", "parse", "predict_events", "status", "domain")
        assert (message.command.reads, message.priority) == (reads, "high" if reads else "normal")
        if in_conversation and not reads:
            assert answer["arguments"]["channels"]["callback"]["channel"] == "callback"


async def test_answers_that_need_no_worker(caller: Caller) -> None:
    # Anyone may ask for the version, so many questions are one message.
    asked = await asyncio.gather(*(caller.call("GET", "/version") for _ in range(20)))
    assert {(status, answer["command"]) for status, answer in asked} == {(200, "version")}
    assert (await caller.call("GET", "/version"))[0] == 200
    assert len(caller.received) == 1, "it is kept for a while"
    for method, path, options, wanted in (
        ("POST", "/model/train", {}, 501),
        ("DELETE", "/model", {}, 501),
        ("PUT", "/model", {}, 501),
        ("POST", "/model/parse", {"data": b"{"}, 400),
        ("GET", "/domain", {"headers": {"Accept": "image/png"}}, 406),
        ("GET", f"/conversations/{'x' * 1100}/tracker", {}, 400),
    ):
        status, error = await caller.call(method, path, **options)
        assert (status, error["status"], error["code"]) == (wanted, "failure", wanted), path
        assert wanted != 501 or "route; " in error["message"], "what to do instead"
    assert len(caller.received) == 1


async def test_a_repeated_call_has_one_effect_and_an_answer(caller: Caller) -> None:
    key = {"Idempotency-Key": "k1"}
    for command in ("trigger_intent", "messages"):
        path = f"/conversations/{command}/{command}"
        first = await caller.call("POST", path, json={}, headers=key)
        again = await caller.call("POST", path, json={}, headers=key)
        assert (first[0], first[1]["command"]) == (201, command)
        state = again[1] if command == "messages" else again[1]["tracker"]
        assert state["command"] == "tracker"
        assert ("messages" in again[1]) == (command == "trigger_intent")
    assert [m.command and m.command.name for m in caller.received] == [
        *("trigger_intent", "tracker"),
        *("messages", "tracker"),
    ]
    for _ in range(2):
        assert (await caller.call("GET", "/status", headers=key))[0] == 201


async def test_a_call_that_fails_or_is_late_says_so(caller: Caller) -> None:
    path = "/conversations/ada/trigger_intent"
    status, error = await caller.call("POST", path, json={"name": "fail"})
    assert (status, error["reason"]) == (500, "ConversationError")
    status, error = await caller.call("POST", path, json={"name": "wait"})
    assert (status, error["reason"]) == (504, "Timeout")
    # A read does not wait for the call that is still running.
    assert (await caller.call("GET", "/conversations/ada/tracker"))[0] == 201


async def test_a_worker_without_a_model_dead_letters_commands(
    project: Project, http: aiohttp.ClientSession, port: int
) -> None:
    project.write("credentials.yml", "rest:\n")
    project.write("handlers.py", "async def handle(message, output):\n    pass\n")
    await asyncio.gather(
        project.webhook(port, "--enable-api"), project.worker("--handler", "handlers:handle")
    )
    caller = Caller(http, port)
    assert (await caller.call("POST", "/conversations/ada/predict"))[0] == 500


async def test_the_api_is_off_by_default(
    project: Project, http: aiohttp.ClientSession, port: int
) -> None:
    project.write("credentials.yml", "rest:\n")
    await project.webhook(port)
    for path in ("/version", "/status", "/conversations/ada/tracker"):
        async with http.get(f"http://127.0.0.1:{port}{path}") as response:
            assert response.status == 404


async def test_callers_are_authenticated(
    project: Project, http: aiohttp.ClientSession, port: int
) -> None:
    project.write("credentials.yml", "rest:\n")
    caller = Caller(http, port)
    await project.webhook(port, "--enable-api", "-t", "t0ken", "--jwt-secret", JWT_KEY)

    def bearer(claims: dict[str, Any], key: str = JWT_KEY) -> dict[str, str]:
        return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='HS256')}"}

    path = "/conversations/ada/messages"
    own = {"user": {"username": "ada", "role": "user"}}
    for headers, query, wanted in (
        ({}, "", 401),
        ({}, "?token=other", 401),
        (bearer(own, "x" * 32), "", 401),
        (bearer({"user": {"username": "bob", "role": "user"}}), "", 403),
        (bearer({"user": {"username": "ada"}}), "", 403),
        (bearer({"user": "ada"}), "", 403),
        (bearer({**own, "exp": 1}), "", 401),
        # Authenticated: then the body is refused.
        (bearer(own), "", 400),
        (bearer({"user": {"username": "root", "role": "admin"}}), "", 400),
        ({}, "?token=t0ken", 400),
    ):
        async with http.post(f"{caller.url}{path}{query}", data=b"{", headers=headers) as response:
            body = await response.json()
            assert (response.status, body["code"]) == (wanted, wanted), (headers, query)
    code, _ = await caller.call("GET", "/status", headers=bearer(own))
    assert code == 403
