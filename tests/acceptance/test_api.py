"""Rasa's HTTP API in front of the bridge, with a real assistant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest_asyncio

from tests.acceptance.reminding import FIRED, Reminding, actions, reminder
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PATIENCE = 120.0


class Client:
    def __init__(self, bot: Reminding, http: aiohttp.ClientSession) -> None:
        self.bot = bot
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        url = f"{self.bot.url}{path}"
        async with self.http.request(method, url, json=body, **more) as response:
            is_json = response.content_type == "application/json"
            return response.status, await (response.json() if is_json else response.text())

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        status, answer = await self.call(method, path, body, **more)
        assert status == 200, answer
        return answer


@pytest_asyncio.fixture
async def bot(project: Project, service: FakeService, port: int) -> AsyncIterator[Reminding]:
    bot = Reminding(project, service, port)
    async with actions(bot.actions):
        bot.start_worker()
        await asyncio.gather(project.webhook(port, "--enable-api"), project.deliver())
        yield bot


@pytest_asyncio.fixture
async def client(bot: Reminding, http: aiohttp.ClientSession) -> Client:
    await bot.works(*bot.workers)
    return Client(bot, http)


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [message["text"] for message in messages]


async def test_the_routes_answer_as_rasa_does(client: Client, bot: Reminding) -> None:
    assert (await client.ok("GET", "/version"))["version"].startswith("3.")
    status = await client.ok("GET", "/status")
    assert (status["model_file"], status["num_active_training_jobs"]) == ("demo.tar.gz", 0)
    assert "ask_location" in str(await client.ok("GET", "/domain"))
    yaml = await client.ok("GET", "/domain", headers={"Accept": "application/x-yaml"})
    assert "intents:" in yaml
    assert (await client.call("GET", "/domain", headers={"Accept": "image/png"}))[0] == 406
    parsed = await client.ok("POST", "/model/parse", {"text": "hello"})
    assert (parsed["intent"]["name"], parsed["text"]) == ("greet", "hello")
    assert (await client.call("PUT", "/model", {}))[0] == 501

    triggered = await client.ok(
        "POST", "/conversations/a%2Fb/trigger_intent", {"name": "greet", "entities": []}
    )
    assert texts(triggered["messages"])[0].startswith(FIRED)
    assert triggered["tracker"]["sender_id"] == "a/b"
    for body, wanted in (({"name": "nothing"}, 404), ({}, 400), ([], 400)):
        code, error = await client.call("POST", "/conversations/ada/trigger_intent", body)
        assert (code, error["status"], error["code"]) == (wanted, "failure", wanted)

    said = await client.ok(
        "POST", "/conversations/ada/messages", {"text": "hello", "sender": "user"}
    )
    assert said["latest_message"]["intent"]["name"] == "greet"
    body = {"text": "hello", "sender": "bot"}
    assert (await client.call("POST", "/conversations/ada/messages", body))[0] == 400
    prediction = await client.ok("POST", "/conversations/ada/predict")
    assert prediction["scores"][0]["action"] == "utter_greet"
    executed = await client.ok("POST", "/conversations/ada/execute", {"name": "utter_greet"})
    assert texts(executed["messages"])[0].startswith("Hello")
    for name, wanted in (("no_such_action", 500), ("", 400)):
        code, error = await client.call("POST", "/conversations/ada/execute", {"name": name})
        assert code == wanted, error
    assert (await client.call("POST", "/conversations/new/execute", {"name": "x"}))[0] == 404

    slot = {"event": "slot", "name": "size", "value": "large"}
    state = await client.ok("POST", "/conversations/ada/tracker/events", [slot])
    assert state["slots"]["size"] == "large"
    assert (await client.call("POST", "/conversations/ada/tracker/events", {"event": "?"}))[
        0
    ] == 400
    tracker = await client.ok("GET", "/conversations/ada/tracker?include_events=ALL")
    assert tracker["slots"]["size"] == "large"
    code, error = await client.call("GET", "/conversations/ada/tracker?include_events=SOME")
    assert (code, error["details"]["parameter"]) == (400, "include_events")
    before = tracker["events"][0]["timestamp"]
    past = await client.ok("GET", f"/conversations/ada/tracker?until={before}")
    assert past["slots"]["size"] is None
    assert "utter_greet" in await client.ok("GET", "/conversations/ada/story")
    assert (await client.call("GET", "/conversations/unknown/story"))[0] == 404
    state = await client.ok("PUT", "/conversations/put/tracker/events", tracker["events"])
    assert (state["sender_id"], state["slots"]["size"]) == ("put", "large")
    bad = await client.http.post(f"{bot.url}/conversations/ada/messages", data=b"{")
    assert bad.status == 400


async def test_a_reply_can_go_to_the_channel_of_the_user(client: Client, bot: Reminding) -> None:
    intent = {"name": "greet"}
    for n, (sender, channel) in enumerate((("one", "callback"), ("two", "latest"))):
        await bot.say(sender, [])
        await eventually(lambda sender=sender: sender in {row[0] for row in bot.rows()}, "saved")
        path = f"/conversations/{sender}/trigger_intent?output_channel={channel}"
        answer = await client.ok("POST", path, intent)
        assert "messages" not in answer
        await eventually(lambda sender=sender: bot.service.texts(sender), "delivered", PATIENCE)
        assert len(bot.service.accepted) == n + 1
    # `rest` answers in its response, so there is no way to its user: as in Rasa.
    path = "/conversations/three/trigger_intent?output_channel=rest"
    assert texts((await client.ok("POST", path, intent))["messages"])[0].startswith(FIRED)

    path = "/conversations/one/tracker/events?execute_side_effects=true&output_channel=latest"
    await client.ok("POST", path, [reminder(1)])
    await eventually(lambda: bot.fired()["one"] == 2, "the reminder fires", PATIENCE)
    await eventually(lambda: len(bot.service.texts("one")) == 2, "and is delivered", PATIENCE)


async def test_a_repeated_call_has_one_effect(client: Client, bot: Reminding) -> None:
    key = {"Idempotency-Key": "k1"}
    path = "/conversations/ada/trigger_intent"
    first = await client.ok("POST", path, {"name": "greet"}, headers=key)
    again = await client.ok("POST", path, {"name": "greet"}, headers=key)
    assert (len(first["messages"]), again["messages"]) == (1, [])
    assert again["tracker"]["sender_id"] == "ada"
    assert bot.fired() == {"ada": 1}


async def test_calls_survive_killed_workers_and_each_has_one_effect(
    client: Client, bot: Reminding
) -> None:
    slots = [{"event": "slot", "name": "size", "value": "small"}]

    async def call(n: int) -> int:
        key = {"Idempotency-Key": f"call-{n}"}
        conversation = f"/conversations/user-{n % 6}"
        path, body = (
            (f"{conversation}/trigger_intent", {"name": "greet"}),
            (f"{conversation}/tracker/events", slots),
            (f"{conversation}/messages", {"text": "hello", "sender": "user"}),
            (f"{conversation}/execute", {"name": "utter_greet"}),
        )[n // 6 % 4]
        return (await client.call("POST", path, body, headers=key))[0]

    async def answered(n: int) -> None:
        # Repeated as long as it is late, as a client does.
        while (status := await call(n)) != 200:
            assert status == 504

    await bot.works(bot.start_worker())
    for n in range(6):
        assert await call(n) == 200, "the conversation exists"
    running = [asyncio.ensure_future(answered(n)) for n in range(48)]
    await eventually(lambda: sum(task.done() for task in running) >= 8, "some calls", PATIENCE)
    bot.workers[0].kill()
    await asyncio.wait_for(asyncio.gather(*running), PATIENCE)
    await asyncio.wait_for(asyncio.gather(*(answered(n) for n in range(48))), PATIENCE)
    rows = bot.rows()
    assert bot.fired() == {f"user-{n}": 2 for n in range(6)}
    texts = [data for _, kind, data in rows if kind == "user" and '"text": "hello"' in data]
    assert len(texts) == 12
    marked = [data for _, kind, data in rows if "rasa_bridge_call" in data]
    assert len(marked) == 24
