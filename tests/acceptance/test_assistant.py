"""The trained demo assistant behind the bridge: real Rasa, real RabbitMQ, real HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from tests.acceptance.stack import DEMO, Assistant
from tests.support.broker import TOP, Broker, free_port
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONVERSATION = yaml.safe_load((DEMO / "conversation.yml").read_text())


@dataclass
class Stack:
    assistant: Assistant
    service: FakeService
    http: aiohttp.ClientSession
    webhook: Process
    worker: Process
    base: str
    rasa: str

    async def post(self, base: str, channel: str, body: Any, **headers: str) -> tuple[int, str]:
        url = f"{base}/webhooks/{channel}/webhook"
        async with self.http.post(url, json=body, headers=headers) as response:
            return response.status, await response.text()

    async def start_killing_worker(self) -> Process:
        project = self.assistant.project
        project.write("killing.py", KILLING_STORE)
        endpoints = (project.directory / "endpoints.yml").read_text()
        project.write("killing.yml", endpoints.replace("type: SQL", "type: killing.KillingStore"))
        return await self.assistant.start_worker("--endpoints", "killing.yml")


DOOMED = "doomed"
KILLING_STORE = f"""
import os
import signal

from rasa.core.tracker_store import SQLTrackerStore


class KillingStore(SQLTrackerStore):
    async def save(self, tracker):
        await super().save(tracker)
        # Rasa also saves a new tracker before its first turn.
        if tracker.sender_id == "{DOOMED}" and tracker.latest_message.message_id:
            os.kill(os.getpid(), signal.SIGKILL)
"""
"""A tracker store that kills its worker right after it saves the tracker of one conversation."""


GUIDE = TOP / "docs" / "how-to" / "custom-connector.md"


def documented_connector() -> str:
    """Return the custom connector of the how-to guide, verbatim."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (source,) = [block for block in blocks if "class MyIO(Connector)" in block]
    return str(source)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory = tmp_path_factory.mktemp("assistant")
    project = Project(directory, broker.url, f"test{free_port()}")
    assistant = Assistant(project)
    service = FakeService()
    await service.start()
    shutil.copy(Path(__file__).with_name("channels.py"), directory / "channels.py")
    project.write("guide_io.py", documented_connector().replace('name = "myio"', 'name = "guide"'))
    project.write(
        "credentials.yml",
        "rest:\n"
        f"callback:\n  url: {service.url}callback\n"
        "channels.MyIO:\n  username: scoop-desk\n"
        "channels.Collecting:\n"
        f"channels.Posting:\n  url: {service.url}posting\n"
        f"channels.Held:\n  url: {service.url}held\n"
        f"guide_io.MyIO:\n  username: scoop-desk\n  url: {service.url}guide\n",
    )
    port, rasa_port = free_port(), free_port()
    try:
        async with aiohttp.ClientSession() as http:
            _, worker, webhook, _, _ = await asyncio.gather(
                assistant.start_actions(),
                assistant.start_worker(),
                project.webhook(port),
                project.deliver(),
                assistant.start_rasa(rasa_port, "rest:\n", directory / "rasa.db"),
            )
            base, rasa = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{rasa_port}"
            yield Stack(assistant, service, http, webhook, worker, base, rasa)
    finally:
        await service.stop()
        project.close()


async def test_the_demo_conversation_through_callback_gets_the_expected_replies(
    stack: Stack,
) -> None:
    for step in CONVERSATION:
        body = {"sender": "conv", "message": step["say"], "metadata": step.get("metadata")}
        assert await stack.post(stack.base, "callback", body) == (200, "success")
        await eventually(
            lambda step=step: any(step["expect"] in (t or "") for t in stack.service.texts("conv")),
            f"{step['expect']!r} is delivered",
        )


async def test_a_rest_client_sees_no_difference_between_rasa_and_the_bridge(stack: Stack) -> None:
    """The same client talks to both, with and without streaming."""
    for query in ("", "?stream=true"):
        for step in CONVERSATION:
            body = {"sender": f"same{len(query)}", "message": step["say"]}
            if step.get("metadata"):
                body["metadata"] = step["metadata"]
            answers = []
            for base in (stack.rasa, stack.base):
                url = f"{base}/webhooks/rest/webhook{query}"
                async with stack.http.post(url, json=body) as response:
                    text = await response.text()
                    lines = text.splitlines() if query else [text]
                    kind = response.headers["Content-Type"].partition(";")[0]
                    answers.append((response.status, kind, [json.loads(line) for line in lines]))
            assert answers[0] == answers[1], step
            assert step["expect"] in str(answers[1])
    for base in (stack.rasa, stack.base):
        async with stack.http.get(f"{base}/webhooks/rest/") as response:
            assert await response.json() == {"status": "ok"}


async def test_the_tracker_stores_text_id_channel_and_metadata_of_a_message(stack: Stack) -> None:
    body = {
        "sender": "meta",
        "message": "what is my discount",
        "metadata": {"customer_tier": "silver", "deep": {"a": [1]}},
        "message_id": "provider-17",
    }
    await stack.post(stack.base, "callback", body)
    await eventually(lambda: stack.service.texts("meta"))
    assert "silver" in stack.service.texts("meta")[0]
    (event,) = await stack.assistant.user_events("meta", 1)
    assert event["text"] == "what is my discount"
    assert event["message_id"] == "provider-17"
    assert event["input_channel"] == "callback"
    assert event["metadata"]["customer_tier"] == "silver"
    assert event["metadata"]["deep"] == {"a": [1]}


async def test_rasas_custom_channel_template_works_unchanged(stack: Stack) -> None:
    status, text = await stack.post(
        stack.base, "myio", {"sender": "io", "message": "what is my discount"}, **{"x-tier": "gold"}
    )
    assert status == 200
    assert "gold customer" in json.loads(text)[0]["text"]
    (event,) = await stack.assistant.user_events("io", 1)
    assert event["input_channel"] == "myio"
    assert event["metadata"]["username"] == "scoop-desk"


async def test_the_collecting_channel_of_rasas_docs_replies_in_its_response(stack: Stack) -> None:
    body = {"sender": "col", "message": "show me the menu"}
    status, text = await stack.post(stack.base, "collecting", body)
    assert status == 200
    first, second = json.loads(text)
    assert "vanilla" in first["text"]
    assert first["buttons"][0]["payload"] == "/order"
    assert second == {"recipient_id": "col", "image": "https://example.com/menu.png"}


async def test_deliver_rebuilds_a_custom_output_channel(
    stack: Stack,
) -> None:
    body = {"sender": "pos", "message": "hi"}
    assert await stack.post(stack.base, "posting", body) == (200, "taken")
    await eventually(lambda: stack.service.texts("pos"))
    (call,) = [c for c in stack.service.accepted if c.body["recipient_id"] == "pos"]
    assert call.path == "/posting"
    assert "ice cream desk" in call.body["text"]


async def test_an_output_channel_that_cannot_be_rebuilt_replies_from_the_webhook(
    stack: Stack,
) -> None:
    body = {"sender": "hel", "message": "hi"}
    assert await stack.post(stack.base, "held", body) == (200, "taken")
    await eventually(lambda: stack.service.texts("hel"))
    (call,) = [c for c in stack.service.accepted if c.body["recipient_id"] == "hel"]
    assert call.path == "/held"
    await stack.service.stop()
    assert await stack.post(stack.base, "held", {**body, "sender": "hel2"}) == (200, "taken")
    await stack.webhook.prints("reply not sent yet (ClientConnectorError")
    await stack.service.start()
    await eventually(lambda: stack.service.texts("hel2") == stack.service.texts("hel"))


async def test_the_connector_in_the_guide_works_as_printed(stack: Stack) -> None:
    assert len(documented_connector().strip().splitlines()) < 30
    assert (DEMO / "myio.py").read_text().endswith(documented_connector())
    status, _ = await stack.post(stack.base, "guide", {"sender": "doc", "message": "hello"})
    assert status == 200
    (call,) = await eventually(lambda: [c for c in stack.service.accepted if c.path == "/guide"])
    assert "ice cream desk" in call.body["text"]
    assert "scoop-desk" in str(call.body)
    status, text = await stack.post(stack.base, "guide", {"sender": "doc"})
    assert status == 400
    assert "error" in json.loads(text)


async def test_turns_can_run_on_a_rasa_server(stack: Stack, broker: Broker, tmp_path: Path) -> None:
    project = Project(tmp_path, broker.url, f"test{free_port()}")
    try:
        project.write("credentials.yml", "rest:\n")
        port = free_port()
        await asyncio.gather(project.webhook(port), project.worker("--rasa-url", stack.rasa))
        body = {"sender": "over-http", "message": "show me the menu"}
        status, text = await stack.post(f"http://127.0.0.1:{port}", "rest", body)
        assert status == 200
        assert [set(reply) for reply in json.loads(text)] == [
            {"recipient_id", "text", "buttons"},
            {"recipient_id", "image"},
        ]
    finally:
        project.close()


async def test_another_worker_skips_an_event_whose_turn_is_in_the_tracker(
    stack: Stack,
) -> None:
    """The test replaces the worker, because a worker's memory of ids dies with it."""
    body = {"sender": "twice", "message": "hi", "message_id": "event-1"}
    await stack.post(stack.base, "callback", body)
    await eventually(lambda: stack.service.texts("twice"))
    await stack.assistant.user_events("twice", 1)
    stack.worker.kill()
    stack.worker = await stack.start_killing_worker()
    await stack.post(stack.base, "callback", body)
    await stack.post(stack.base, "callback", {**body, "message_id": "event-2", "message": "bye"})
    await eventually(lambda: len(stack.service.texts("twice")) > 1)
    assert len(stack.service.texts("twice")) == 2
    events = await stack.assistant.user_events("twice", 2)
    assert [event["message_id"] for event in events] == ["event-1", "event-2"]


async def test_a_turn_whose_worker_dies_between_saving_the_tracker_and_the_ack_runs_once(
    stack: Stack,
) -> None:
    """Must be the last test in this file: it kills the worker that the previous test started."""
    body = {"sender": DOOMED, "message": "hi", "message_id": "event-1"}
    await stack.post(stack.base, "callback", body)
    assert await stack.worker.ends() == -signal.SIGKILL
    worker = await stack.assistant.start_worker()
    await worker.prints("the tracker already contains the turn: not run again")
    assert "inbound=event-1" in worker.log
    await stack.post(stack.base, "callback", {**body, "message_id": "event-2", "message": "bye"})
    await eventually(lambda: len(stack.service.texts(DOOMED)) > 1)
    assert stack.service.texts(DOOMED) == stack.service.texts("twice")
    events = await stack.assistant.user_events(DOOMED, 2)
    assert [event["message_id"] for event in events] == ["event-1", "event-2"]
