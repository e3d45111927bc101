"""`telegram`: the webhook is set with its secret, at each start and through Rasa's URL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from tests.integration.connectors.runner import a_dispatcher, a_webhook
from tests.integration.connectors.tables import Post
from tests.integration.connectors.telegram_table import SECRET, TABLE, TOKEN, message, post
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService
from tests.support.waiting import eventually

URL = "https://bot.example/webhooks/telegram/webhook"


def settings(service: FakeService, **changes: Any) -> Mapping[str, Any]:
    return {"api_url": service.url, "webhook_url": URL, **changes}


async def test_each_start_sets_the_webhook_with_its_secret(service: FakeService) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": True})
    async with a_webhook(TABLE, settings(service)):
        await eventually(lambda: len(service.calls) == 1)
    (call,) = service.calls
    assert call.path == f"/bot{TOKEN}/setWebhook"
    assert call.body == {"url": URL, "secret_token": SECRET}


async def test_a_start_continues_if_telegram_refuses_the_webhook(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.answer = lambda call: web.json_response(
        {"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401
    )
    async with a_webhook(TABLE, settings(service)) as webhook:
        await eventually(lambda: "setWebhook failed" in caplog.text)
        body = {"update_id": 1, "message": message()}
        status, _, _ = await webhook.post(post(body))
        assert status == 200
        assert len(webhook.messages) == 1
    assert "access_token" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_set_webhook_is_at_the_same_url_as_in_rasa(method: str, service: FakeService) -> None:
    service.answer = lambda call: web.json_response({"ok": True, "result": True})
    asked = Post(method=method, path="set_webhook")
    async with a_webhook(TABLE, settings(service)) as webhook:
        await eventually(lambda: len(service.calls) == 1)
        assert (await webhook.post(asked))[:2] == (200, "Webhook setup successful")
        assert len(service.calls) == 2
        statuses = [(await webhook.post(asked))[0] for _ in range(5)]
        assert (statuses, len(service.calls)) == ([429] * 5, 2)
        webhook.connector._may_set_at = 0.0
        service.answer = lambda call: web.json_response({"ok": False}, status=400)
        assert (await webhook.post(asked))[:2] == (502, "Invalid webhook")


async def test_without_a_webhook_url_no_webhook_is_set(service: FakeService) -> None:
    async with a_webhook(TABLE, {"api_url": service.url}) as webhook:
        status, answer, _ = await webhook.post(Post(path="set_webhook"))
        assert status == 400
        assert "'webhook_url'" in answer
    assert not service.calls


async def test_without_a_secret_every_update_is_accepted(service: FakeService) -> None:
    unsigned = post({"update_id": 1, "message": message()})
    headers = {"Content-Type": unsigned.headers["Content-Type"]}
    async with a_webhook(TABLE, {"secret_token": None}) as webhook:
        assert (await webhook.post(Post(unsigned.body, headers)))[0] == 200
        assert len(webhook.messages) == 1


async def test_a_reply_to_a_group_that_became_a_supergroup_is_sent_there(
    service: FakeService,
) -> None:
    def answer(call: Call) -> web.Response:
        if call.body["chat_id"] != "-5":
            return web.json_response(TABLE.accepts)
        moved = {"ok": False, "error_code": 400, "parameters": {"migrate_to_chat_id": -1005}}
        return web.json_response(moved, status=400)

    async with a_dispatcher(TABLE, service) as dispatcher:
        service.answer = answer
        await dispatcher.deliver(a_reply(channel="telegram", recipient_id="-5", text="hi"))
    assert [call.body["chat_id"] for call in service.calls] == ["-5", -1005]
    assert {call.body["text"] for call in service.calls} == {"hi"}
