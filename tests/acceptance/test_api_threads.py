"""A call of the HTTP API reaches the user in the thread in which the user wrote last."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from tests.acceptance.reminding import Reminding, actions
from tests.integration.connectors.telegram_table import GROUP, HEADERS, SECRET, TOKEN, message
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PATIENCE = 120.0
CONVERSATION = str(GROUP["id"])


def sent(service: FakeService) -> list[dict[str, Any]]:
    return [call.body for call in service.accepted if call.path.endswith("/sendMessage")]


async def test_the_latest_channel_is_the_latest_thread(
    project: Project, service: FakeService, port: int, http: aiohttp.ClientSession
) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": {"message_id": 1}})
    bot = Reminding(project, service, port)
    project.write(
        "credentials.yml",
        f"telegram:\n  access_token: {TOKEN}\n  verify: icebot\n  secret_token: {SECRET}\n"
        f"  webhook_url: https://bot.example/webhooks/telegram/webhook\n  api_url: {service.url}\n",
    )
    async with actions(bot.actions):
        worker = bot.start_worker()
        await asyncio.gather(project.webhook(port, "--enable-api"), project.deliver())
        await bot.works(worker)

        async def say(update: int, **changes: Any) -> None:
            body = {
                "update_id": update,
                "message": message(chat=GROUP, text="hi", message_id=update, **changes),
            }
            url = f"{bot.url}/webhooks/telegram/webhook"
            async with http.post(url, json=body, headers=HEADERS) as response:
                assert response.status == 200, await response.text()

        async def trigger() -> None:
            path = f"/conversations/{CONVERSATION}/trigger_intent?output_channel=latest"
            async with http.post(f"{bot.url}{path}", json={"name": "goodbye"}) as response:
                assert response.status == 200, await response.text()

        await say(1, message_thread_id=7, is_topic_message=True)
        await eventually(lambda: len(sent(service)) == 1, "the first reply", PATIENCE)
        for number in (2, 3):  # the second call follows an event that no user has said
            await trigger()
            await eventually(lambda n=number: len(sent(service)) == n, "a reply", PATIENCE)
        await say(4)
        await eventually(lambda: len(sent(service)) == 4, "the next reply", PATIENCE)
        await trigger()
        await eventually(lambda: len(sent(service)) == 5, "the last reply", PATIENCE)
    threads = [int(body.get("message_thread_id", 0)) for body in sent(service)]
    assert threads == [7, 7, 7, 0, 0]
