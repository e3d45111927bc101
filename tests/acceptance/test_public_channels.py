"""Channels in the shapes of eight public ones behind the queue: each answers as in `rasa run`.

Webhook, worker and deliver are processes; the worker runs without rasa.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from tests.acceptance.stack import START
from tests.support.broker import Broker, free_port
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE = "https://x/a.png"
HANDLER = f"""
async def handle(message, output):
    # As Rasa's processor sends: with every key that a response may have.
    nothing = dict.fromkeys(("buttons", "quick_replies", "elements", "custom", "attachment"))
    said = f"you said: {{message.text}}" + (f" {{message.metadata}}" if message.metadata else "")
    answer = {{"text": said, "image": "{IMAGE}", "utter_action": "utter_said", **nothing}}
    await output.send_response(message.sender_id, answer)
"""


@dataclass(frozen=True)
class Public:
    """A channel: a message to it, and what answers."""

    cls: str
    path: str
    body: dict[str, Any]
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    """What its service receives: below which path, and the body."""
    answer: Any = None
    """The response, if it matters."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.cls.lower()


SAID = "you said: hello"
CHANNELS = [
    Public(
        "Viber",
        "viber/webhook",
        {"event": "message", "sender": {"id": "v1"}, "message": {"text": "hello"}},
        [
            ("viber", {"receiver": "v1", "type": "text", "text": SAID}),
            ("viber", {"receiver": "v1", "type": "picture", "media": IMAGE}),
        ],
    ),
    Public(
        "Line",
        "line/callback",
        {
            "events": [
                {"replyToken": f"t-{n}", "source": {"userId": n}, "message": {"text": "hello"}}
                for n in ("l1", "l2")
            ]
        },
        [
            (
                "line",
                {
                    "replyToken": f"t-{n}",
                    "messages": [
                        {"type": "text", "text": SAID},
                        {"type": "image", "originalContentUrl": IMAGE},
                    ],
                },
            )
            for n in ("l1", "l2")
        ],
        answer={"success": True},
        headers={"X-Line-Signature": "s"},
    ),
    Public(
        "GoogleAssistant",
        "google_assistant/webhook",
        {"intent": {"query": "hello"}},
        answer={"prompt": {"firstSimple": {"speech": SAID}}},
    ),
    Public(
        "Alexa",
        "voice/alexa/webhook",
        {
            "session": {"user": {"userId": "a1"}},
            "request": {"type": "IntentRequest", "intent": {"slots": {"text": {"value": "hello"}}}},
        },
        answer={
            "version": "1.0",
            "response": {"outputSpeech": {"type": "PlainText", "text": SAID}},
        },
    ),
    Public(
        "Discord",
        "integrations/discord/interactions",
        {
            "type": 2,
            "member": {"user": {"id": "d1"}},
            "data": {"options": [{"name": "say", "value": "hello"}]},
        },
        [
            (
                "discord",
                {"channel": "d1", "content": SAID, "embeds": [{"image": {"url": IMAGE}}]},
            )
        ],
        answer={"type": 5},
    ),
    Public(
        "Zalo",
        "zalo/webhook",
        {"app_id": "7", "sender": {"id": "z1"}, "message": {"text": "hello"}},
        [
            (
                "zalo",
                {
                    "user_id": "z1",
                    "text": f"{SAID} {{'app': '7', 'trace': 'x1'}}",
                    "image": IMAGE,
                    "token": "app-token",
                },
            )
        ],
        answer={"error": 0},
        headers={"x-trace": "x1"},
    ),
    Public(
        "Chatwoot",
        "chatwoot/webhook",
        {
            "message_type": "incoming",
            "content": "hello",
            "sender": {"id": 5},
            "conversation": {"id": 77},
        },
        [("chatwoot/conversations/77/messages", {"content": SAID, "attachments": [IMAGE]})],
        answer={"status": "ok"},
    ),
    Public(
        "Instagram",
        "instagram/webhook",
        {"entry": [{"messaging": [{"sender": {"id": "i1"}, "message": {"text": "hello"}}]}]},
        [
            ("instagram", {"recipient": "i1", "sender_action": "typing_on"}),
            ("instagram", {"recipient": "i1", "text": SAID}),
            ("instagram", {"recipient": "i1", "image": IMAGE}),
        ],
    ),
]
WITHOUT_MESSAGE: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("GET", "viber/", None, '{"status":"ok"}'),
    ("GET", "viber/set_webhook", None, "registered"),
    ("POST", "viber/webhook", {"event": "conversation_started"}, ""),
    ("POST", "integrations/discord/interactions", {"type": 1}, '{"type":1}'),
    ("GET", "zalo/webhook", None, "zalo-platform-site-verification"),
    ("POST", "chatwoot/webhook", {"message_type": "outgoing"}, '{"ignored":true}'),
    ("GET", "instagram/webhook?hub.challenge=c1", None, "c1"),
]


@dataclass
class Running:
    service: FakeService
    http: aiohttp.ClientSession
    base: str

    async def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        url = f"{self.base}/webhooks/{path}"
        async with self.http.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.text()

    def received(self, name: str) -> list[tuple[str, Any]]:
        """Return what a service has accepted: path and body, in order."""
        calls = [(call.path.lstrip("/"), call.body) for call in self.service.accepted]
        return [(path, body) for path, body in calls if path.split("/")[0] == name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    service = FakeService()
    await service.start()
    project = Project(tmp_path_factory.mktemp("public"), broker.url, f"test{free_port()}")
    shutil.copy(Path(__file__).with_name("public_channels.py"), project.directory)
    sections = {f"public_channels.{c.cls}": {"url": f"{service.url}{c.name}"} for c in CHANNELS}
    project.write("credentials.yml", yaml.safe_dump(sections, sort_keys=False))
    project.write("handlers.py", HANDLER)
    port = free_port()
    try:
        webhook = project.bridge("webhook", "-i", "127.0.0.1", "-p", str(port))
        deliver = project.bridge("deliver")
        await project.worker("--handler", "handlers:handle")
        await deliver.prints("consuming", patience=START)
        await webhook.prints("listening on", patience=START)
        await webhook.prints("collecting replies", patience=START)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http:
            yield Running(service, http, f"http://127.0.0.1:{port}")
    finally:
        project.close()
        await service.stop()


@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
async def test_a_response_arrives_as_without_the_queue(channel: Public, running: Running) -> None:
    status, text = await running.ask("POST", channel.path, channel.body, channel.headers)
    assert status == 200, text
    if channel.answer is not None:
        assert json.loads(text) == channel.answer
    expected = list(channel.calls)
    await eventually(lambda: len(running.received(channel.name)) >= len(expected))
    assert sorted(map(str, running.received(channel.name))) == sorted(map(str, expected))


@pytest.mark.parametrize(("method", "path", "body", "answer"), WITHOUT_MESSAGE)
async def test_requests_without_a_message_are_answered_by_the_channel(
    method: str, path: str, body: Any, answer: str, running: Running
) -> None:
    assert await running.ask(method, path, body) == (200, answer)
