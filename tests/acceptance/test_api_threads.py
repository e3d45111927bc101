"""A call of the HTTP API reaches the user in the thread in which the user wrote last."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web

from tests.acceptance.reminding import Reminding, actions, reminder
from tests.acceptance.stack import start_rasa
from tests.integration.connectors.telegram_table import GROUP, HEADERS, SECRET, TOKEN, message
from tests.support.broker import Broker
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PATIENCE = 120.0
CONVERSATION = str(GROUP["id"])


def sent(service: FakeService) -> list[dict[str, Any]]:
    return [call.body for call in service.accepted if call.path.endswith("/sendMessage")]


KEYS = {
    "access_token": TOKEN,
    "verify": "icebot",
    "secret_token": SECRET,
    "webhook_url": "https://bot.example/webhooks/telegram/webhook",
}


@pytest.fixture
def bot(project: Project, service: FakeService, port: int) -> Reminding:
    service.answer = lambda call: web.json_response({"ok": True, "result": {"message_id": 1}})
    return Reminding(project, service, port)


async def test_the_latest_channel_is_the_latest_thread(
    bot: Reminding, http: aiohttp.ClientSession
) -> None:
    keys = {**KEYS, "api_url": bot.service.url}
    bot.project.write("credentials.yml", yaml.safe_dump({"telegram": keys}))
    async with actions(bot.actions):
        worker = bot.start_worker()
        await asyncio.gather(bot.project.webhook(bot.port, "--enable-api"), bot.project.deliver())
        await bot.works(worker)
        await calls_reply_in_the_thread(bot, http)


async def test_the_latest_channel_is_the_latest_thread_in_hosted_mode(
    bot: Reminding, broker: Broker, http: aiohttp.ClientSession
) -> None:
    partitions = {"inbound": 4, "replies": 2}
    hosted = {"url": broker.url, "namespace": bot.project.namespace, "partitions": partitions}
    keys = {**KEYS, "api_url": bot.service.url, "worker": True, "broker": hosted}
    section = {"bridge.QueueInput": {"channel": "telegram", **keys}}
    bot.project.write("credentials.yml", yaml.safe_dump(section))
    async with actions(bot.actions):
        rasa = await start_rasa(bot.project, bot.port, "endpoints.yml", "credentials.yml")
        await bot.project.deliver()
        await calls_reply_in_the_thread(bot, http)
        rasa.terminate()
        await rasa.ends()


async def calls_reply_in_the_thread(bot: Reminding, http: aiohttp.ClientSession) -> None:
    service = bot.service

    async def say(update: int, **changes: Any) -> bool:
        body = {
            "update_id": update,
            "message": message(chat=GROUP, text="hi", message_id=update, **changes),
        }
        url = f"{bot.url}/webhooks/telegram/webhook"
        async with http.post(url, json=body, headers=HEADERS) as response:
            return response.status == 200

    async def call(action: str, body: Any, **query: str) -> None:
        url = f"{bot.url}/conversations/{CONVERSATION}/{action}"
        query = {"output_channel": "latest", **query}
        async with http.post(url, params=query, json=body) as response:
            assert response.status == 200, await response.text()

    async def trigger() -> None:
        await call("trigger_intent", {"name": "goodbye"})

    async def replied(count: int) -> None:
        await eventually(lambda: len(sent(service)) == count, f"{count} replies", PATIENCE)

    async def saved(count: int) -> None:
        """Wait for the tracker: Rasa saves it after the replies of a turn."""
        await eventually(
            lambda: sum(kind == "user" for _, kind, _ in bot.rows()) == count, "saved", PATIENCE
        )

    # In hosted mode, Rasa listens before the bridge has connected; until then it answers 503.
    first = {"message_thread_id": 7, "is_topic_message": True}
    await eventually(lambda: say(1, **first), "accepted", PATIENCE)
    await replied(1)
    await saved(1)
    for number in (2, 3):  # the second call follows an event that no user has said
        await trigger()
        await replied(number)
    await call("tracker/events", [reminder(1)], execute_side_effects="true")
    await replied(4)
    await saved(4)
    assert await say(4)
    await replied(5)
    await saved(5)
    await trigger()
    await replied(6)
    threads = [int(body.get("message_thread_id", 0)) for body in sent(service)]
    assert threads == [7, 7, 7, 7, 0, 0]
