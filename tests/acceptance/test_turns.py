"""Three short messages, one answer: real Rasa behind a WhatsApp-shaped and a socketio client."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance.stack import Assistant
from tests.integration.connectors import whatsapp_table as whatsapp
from tests.support.actions import SlowActions
from tests.support.broker import Broker, free_port
from tests.support.processes import Project
from tests.support.service import Call, FakeService
from tests.support.sockets import client
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "app-secret"
CREDENTIALS = """
whatsapp:
  phone_number_id: "{number}"
  access_token: token
  app_secret: {secret}
  verify: verify
  api_url: {url}
  turns: collect
  quiet: 2
socketio:
  session_persistence: true
  turns: interrupt
  quiet: 2
"""
SLOW = "what is my discount"
STORY = ("hi", "quick question", "what do you have on the menu?")


@dataclass
class Stack:
    assistant: Assistant
    actions: SlowActions
    service: FakeService
    http: aiohttp.ClientSession
    base: str

    async def says(self, id: str, text: str) -> None:
        """Post an event as WhatsApp does, signed."""
        said = {"type": "text", "text": {"body": text}}
        body = json.dumps(whatsapp.batch(whatsapp.of(whatsapp.message(id, **said)))).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "X-Hub-Signature-256": f"sha256={signature}",
            "Content-Type": "application/json",
        }
        url = f"{self.base}/webhooks/whatsapp/webhook"
        async with self.http.post(url, data=body, headers=headers) as response:
            assert response.status == 200, await response.text()

    def sent(self) -> list[Any]:
        """Return what the user sees. The marks of what was read are calls of the same URL."""
        calls = [call.body for call in self.service.accepted if call.path.endswith("/messages")]
        return [call for call in calls if "to" in call]


def _accept(call: Call) -> aiohttp.web.Response:
    return aiohttp.web.json_response({"messages": [{"id": "wamid.out"}]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    project = Project(tmp_path_factory.mktemp("turns"), broker.url, f"test{free_port()}")
    assistant, service, port = Assistant(project), FakeService(), free_port()
    service.answer = _accept
    await service.start()
    actions = SlowActions(assistant.action_port, lambda text: text == SLOW)
    await actions.start()
    project.write(
        "credentials.yml",
        CREDENTIALS.format(number=whatsapp.NUMBER, secret=SECRET, url=service.url),
    )
    try:
        async with aiohttp.ClientSession() as http:
            await asyncio.gather(
                assistant.start_worker(),
                project.webhook(port),
                project.deliver(),
            )
            yield Stack(assistant, actions, service, http, f"http://127.0.0.1:{port}")
    finally:
        project.close()
        await actions.stop()
        await service.stop()


async def test_three_messages_on_whatsapp_have_one_answer(stack: Stack) -> None:
    for number, text in enumerate(STORY):
        await stack.says(f"wamid.{number}", text)
    (event,) = await stack.assistant.user_events(whatsapp.PHONE, 1)
    assert event["text"] == "\n".join(STORY)
    assert event["message_id"] == "wamid.2"
    assert [part["text"] for part in event["metadata"]["messages"]] == list(STORY)
    await eventually(lambda: len(stack.sent()) == 2)
    menu, picture = stack.sent()
    assert menu["interactive"]["body"]["text"].startswith("Today we have")
    assert picture["type"] == "image"
    for number, text in enumerate(STORY):
        await stack.says(f"wamid.{number}", text)  # the provider sends all of them again
    await stack.says("wamid.3", "bye")
    events = await stack.assistant.user_events(whatsapp.PHONE, 2)
    assert [event["text"] for event in events] == ["\n".join(STORY), "bye"]
    assert stack.sent()[:2] == [menu, picture]
    assert all(call["type"] == "text" for call in stack.sent()[2:])


async def test_three_messages_on_a_socket_have_one_answer(stack: Stack) -> None:
    async with client(stack.base) as it:
        await it.emit("session_request", {"session_id": "ada"})
        await it.hears(("session_confirm", "ada"))
        for text in STORY:
            await it.ask("user_uttered", {"message": text, "session_id": "ada"})
        (event,) = await stack.assistant.user_events("ada", 1)
        assert event["text"] == "\n".join(STORY)
        await eventually(lambda: it.heard)


async def test_a_button_runs_alone_after_what_was_collected(stack: Stack) -> None:
    async with client(stack.base) as it:
        await it.emit("session_request", {"session_id": "bob"})
        await it.hears(("session_confirm", "bob"))
        for text in ("hi", "/ask_menu"):
            await it.ask("user_uttered", {"message": text, "session_id": "bob"})
        events = await stack.assistant.user_events("bob", 2)
        assert [event["text"] for event in events] == ["hi", "/ask_menu"]


async def test_a_new_message_interrupts_a_turn_that_waits_for_an_action(stack: Stack) -> None:
    async with client(stack.base) as it:
        await it.emit("session_request", {"session_id": "eve"})
        await it.hears(("session_confirm", "eve"))
        await it.ask("user_uttered", {"message": SLOW, "session_id": "eve"})
        await eventually(lambda: stack.actions.began, "the action runs")
        await it.ask("user_uttered", {"message": "do I get one?", "session_id": "eve"})
        await eventually(lambda: stack.actions.stopped, "the turn is cancelled")
        (event,) = await stack.assistant.user_events("eve", 1)
        assert event["text"] == f"{SLOW}\ndo I get one?"
        await eventually(lambda: it.heard, "the user has an answer")
