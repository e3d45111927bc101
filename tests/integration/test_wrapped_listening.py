"""A wrapped channel that listens in a task: what it hears while RabbitMQ is away is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.support.broker import Broker
from tests.support.handlers import ECHO
from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

LISTENING = '''
import asyncio

import aiohttp
from sanic import Blueprint, response


class Message:
    parse_data = metadata = input_channel = None

    def __init__(self, text, output):
        self.text, self.sender_id, self.message_id, self.output_channel = text, "ada", text, output


class Output:
    def __init__(self, url):
        self.url = url

    def name(self):
        return "listening"

    async def send_text_message(self, recipient_id, text, **kwargs):
        async with aiohttp.ClientSession() as http:
            await http.post(f"{self.url}{text}")


class Listening:
    """Asks its service for the next message, as a sync loop does."""

    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return "listening"

    @classmethod
    def from_credentials(cls, credentials):
        return cls(credentials["url"])

    def get_output_channel(self):
        return Output(self.url)

    def blueprint(self, on_new_message):
        blueprint = Blueprint("listening")

        async def listen():
            async with aiohttp.ClientSession() as http:
                while True:
                    async with http.post(f"{self.url}next") as answer:
                        text = await answer.text()
                    if text:
                        await on_new_message(Message(text, self.get_output_channel()))
                        await http.post(f"{self.url}done-{text}")
                    await asyncio.sleep(0.01)

        @blueprint.listener("after_server_start")
        async def start(app, loop):
            self.task = asyncio.ensure_future(listen())

        @blueprint.post("/webhook")
        async def receive(request):
            await on_new_message(Message(request.json["text"], self.get_output_channel()))
            return response.text("ok")

        @blueprint.post("/later")
        async def later(request):
            async def after_the_answer():
                await self.asked.wait()
                await on_new_message(Message(request.json["text"], self.get_output_channel()))

            self.asked = asyncio.Event()
            self.later = asyncio.ensure_future(after_the_answer())
            return response.text("ok")

        @blueprint.post("/go")
        async def go(request):
            self.asked.set()
            return response.text("ok")

        return blueprint
'''


@pytest.fixture
def project(own_broker: Broker, namespace: str, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, own_broker.url, namespace)
    yield project
    project.close()


async def test_what_arrives_outside_a_request_waits_for_the_broker(
    project: Project, own_broker: Broker, service: FakeService, port: int
) -> None:
    """In a task that listens, and in one that outlives its request. A request gets a 503."""
    project.write("listening.py", LISTENING)
    project.write("credentials.yml", f"listening.Listening:\n  url: {service.url}\n")
    project.write("echo.py", ECHO)
    coming: list[str] = []

    def next_of(call: Call) -> web.Response:
        return web.Response(text=coming.pop(0) if coming and call.path == "/next" else "")

    service.answer = next_of
    await project.worker("--handler", "echo:handle")
    await project.deliver()
    webhook = await project.webhook(port)

    def heard(path: str) -> int:
        return sum(call.path.endswith(path) for call in service.calls)

    base = f"http://127.0.0.1:{port}/webhooks/listening"
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{base}/later", json={"text": "after-the-answer"}) as response:
            assert response.status == 200
        coming.append("first")
        await eventually(lambda: heard("done-first"))

        await asyncio.to_thread(own_broker.stop)
        await webhook.prints("not connected: ")
        coming += ["second", "third"]
        async with http.post(f"{base}/go") as response:
            assert response.status == 200
        await webhook.prints("a message waits until RabbitMQ accepts it")
        await eventually(lambda: "second" not in coming)
        async with http.post(f"{base}/webhook", json={"text": "refused"}) as response:
            assert response.status == 503
        assert coming == ["third"], "it asks for nothing before the message is accepted"
        assert not heard("done-second")

        await asyncio.to_thread(own_broker.start)
        for text in ("first", "second", "third", "after-the-answer"):
            await eventually(lambda text=text: heard(f"/{text}"), text)
        assert not heard("/refused")
    texts = [call.path.strip("/") for call in service.calls]
    assert texts.index("second") < texts.index("third")
