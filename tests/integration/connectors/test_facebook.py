"""`facebook`: read receipts, typing indicators, and Rasa's names of the keys."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.registry import load_channels
from bridge.errors import BrokerUnavailable, SettingsError
from tests.integration.connectors.facebook_table import (
    HELLO,
    PROOF,
    TABLE,
    TOKEN,
    batch,
    event,
    message,
    post,
)
from tests.integration.connectors.runner import a_dispatcher, a_webhook
from tests.integration.connectors.tables import Post, as_bytes
from tests.support.fakes import a_reply, quiet
from tests.support.service import FakeService
from tests.support.waiting import eventually


def settings(service: FakeService) -> dict[str, str]:
    return {"api_url": service.url}


def action(name: str, user: str = "2685") -> dict[str, Any]:
    return {"recipient": {"id": user}, "sender_action": name}


async def test_a_batch_shows_each_user_one_read_receipt(
    service: FakeService,
) -> None:
    async with a_webhook(TABLE, settings(service)) as webhook:
        status, _, _ = await webhook.post(post(batch(HELLO, message("m_2", text="two"))))
        assert status == 200
        await eventually(lambda: len(service.calls) == 2)
        await quiet()
    assert [call.body for call in service.calls] == [action("mark_seen"), action("typing_on")]
    assert {call.path for call in service.calls} == {"/me/messages"}
    assert service.calls[0].query == {"access_token": TOKEN, "appsecret_proof": PROOF}


async def test_calls_without_a_secret_have_no_proof(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, {"secret": None}) as dispatcher:
        await dispatcher.deliver(a_reply(channel="facebook", recipient_id="2685"))
    assert service.calls[0].query == {"access_token": TOKEN}


async def test_events_without_messages_and_failed_requests_show_no_receipt(
    service: FakeService,
) -> None:
    async with a_webhook(TABLE, settings(service)) as webhook:
        await webhook.post(post(batch(event(read={"watermark": 1}))))
        webhook.publisher.down = BrokerUnavailable("no connection")
        assert (await webhook.post(post(batch(HELLO))))[0] == 503
        webhook.publisher.down = None
        other = {**HELLO, "sender": {"id": "3"}}
        await webhook.post(post(batch(other)))
        await eventually(lambda: len(service.calls) == 2)
    assert [call.body for call in service.calls] == [
        action("mark_seen", "3"),
        action("typing_on", "3"),
    ]


async def test_a_message_is_accepted_even_if_the_receipt_fails(
    service: FakeService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    service.answer = lambda call: web.json_response({"error": {"code": 190}}, status=401)
    async with a_webhook(TABLE, settings(service)) as webhook:
        assert (await webhook.post(post(batch(HELLO))))[0] == 200
        await eventually(lambda: "no read receipt" in caplog.text)
        assert len(webhook.messages) == 1
    assert TOKEN not in caplog.text


async def test_without_a_secret_every_batch_is_accepted() -> None:
    unsigned = Post(as_bytes(batch(HELLO)), {"Content-Type": "application/json"})
    async with a_webhook(TABLE, {"secret": None}) as webhook:
        assert (await webhook.post(unsigned))[0] == 200
        assert len(webhook.messages) == 1


def test_a_start_warns_about_missing_keys() -> None:
    (channel,) = load_channels({"facebook": {"page-access-token": TOKEN}}).values()
    secret, verify = channel.connector.warnings()
    assert "'secret'" in secret
    assert "'verify'" in verify


def test_an_error_uses_rasas_name_of_the_key() -> None:
    with pytest.raises(SettingsError, match="'page-access-token' is missing"):
        load_channels({"facebook": {"verify": "x", "secret": "y"}})
