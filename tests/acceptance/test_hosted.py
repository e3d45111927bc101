"""Hosted mode: `bridge.QueueInput` in the credentials.yml of a plain `rasa run`."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.acceptance.reminding import Reminding, actions, reminder
from tests.acceptance.stack import Assistant, start_rasa
from tests.support.broker import Broker
from tests.support.processes import Project
from tests.support.raw import asked, connected, head
from tests.support.service import FakeService
from tests.support.waiting import eventually


def write_credentials(project: Project, broker: Broker, service: FakeService) -> str:
    """Write a credentials.yml for hosted mode; return its text."""
    credentials = (
        "bridge.QueueInput:\n"
        "  channel: callback\n"
        f"  url: {service.url}\n"
        "  worker: true\n"
        f"  broker: {{url: '{broker.url}', namespace: {project.namespace},"
        " partitions: {inbound: 4, replies: 2}}\n"
    )
    project.write("credentials.yml", credentials)
    return credentials


async def test_a_plain_rasa_run_enqueues_messages_and_replies_through_the_queue(
    broker: Broker, project: Project, service: FakeService, port: int, tmp_path: Path
) -> None:
    assistant = Assistant(project)
    credentials = write_credentials(project, broker, service)
    await assistant.start_actions()
    # As a user starts it: with the imports in Rasa's order.
    rasa = await assistant.start_rasa(port, credentials, assistant.database, fork=False)
    await project.deliver()
    url = f"http://127.0.0.1:{port}/webhooks/callback"
    body = {
        "sender": "hosted",
        "message": "what is my discount",
        "metadata": {"customer_tier": "gold"},
        "message_id": "h1",
    }
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{url}/") as response:
            assert await response.json() == {"status": "ok"}
        async with http.post(f"{url}/webhook", json={"message": "has no sender"}) as response:
            assert response.status == 400

        async def is_accepted() -> bool:
            async with http.post(f"{url}/webhook", json=body) as response:
                return response.status == 200

        # Rasa listens before the bridge has connected; until then it answers 503.
        await eventually(is_accepted)
        for _ in range(2):
            async with http.post(f"{url}/webhook", json=body) as response:
                assert (response.status, await response.text()) == (200, "success")
        body = {**body, "message": "bye", "message_id": "h2"}
        async with http.post(f"{url}/webhook", json=body) as response:
            assert response.status == 200
        await eventually(lambda: len(service.accepted) >= 2)
    base = f"http://127.0.0.1:{port}"
    for path in ("/", "/status", "/webhooks/callback/webhook", "/webhooks/callback/"):
        for lines in (
            ["Content-Length: -1"],
            ["Content-Length: 5", "Transfer-Encoding: chunked"],
            ["Content-Length: +5"],
            ["Transfer-Encoding: xchunked"],
        ):
            for method in ("GET", "POST"):
                answer = await asked(base, head(path, *lines, method=method))
                assert answer.status == 400, (path, lines, answer)
    for chunks in (b"0x1\r\na\r\n0\r\n\r\n", b"1\r\na\r\n0\r\nX: y\r\n\r\n"):
        chunked = head("/", "Transfer-Encoding: chunked", method="GET") + chunks
        async with connected(base) as client:
            await client.send(chunked + head("/", method="GET"))
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.closed() == b"", "a request was hidden in the chunks"
    large = head("/webhooks/callback/webhook", "Content-Length: 1048577")
    assert (await asked(base, large)).status == 413
    assert (await asked(base, head("/", method="GET"))).status == 200, "it still runs"
    assert "gold customer" in service.texts("hosted")[0]
    assert "Goodbye" in service.texts("hosted")[1]
    events = await assistant.user_events("hosted", 2)
    assert [event["message_id"] for event in events] == ["h1", "h2"]
    rasa.terminate()
    await rasa.ends()


async def test_reminders_and_the_api_of_a_plain_rasa_run_go_through_the_queue(
    broker: Broker, project: Project, service: FakeService, port: int
) -> None:
    bot = Reminding(project, service, port)
    write_credentials(project, broker, service)
    async with actions(bot.actions), aiohttp.ClientSession() as http:
        rasa = await start_rasa(project, port, "endpoints.yml", "credentials.yml")
        await project.deliver()

        async def is_accepted() -> bool:
            try:
                await bot.say("ada", [reminder(3)], id="h1")
            except AssertionError:
                return False
            return True

        # Rasa listens before the bridge has connected; until then it answers 503.
        await eventually(is_accepted)
        await eventually(lambda: bot.scheduled()["ada"], "the turn is saved")
        rasa.kill()
        rasa = await start_rasa(project, port, "endpoints.yml", "credentials.yml")
        await eventually(lambda: bot.fired() == {"ada": 1}, "it fires after the restart")
        await eventually(lambda: len(service.texts("ada")) == 1)
        url = f"{bot.url}/conversations/ada/trigger_intent?output_channel=latest"
        async with http.post(url, json={"name": "greet"}) as response:
            assert response.status == 200
            assert "messages" not in await response.json()
        await eventually(lambda: len(service.texts("ada")) == 2, "the reply is delivered")
        rasa.terminate()
        await rasa.ends()
