"""`webexteams`: the calls that precede a message, and their failures."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.registry import load_channel
from bridge.errors import SettingsError
from tests.integration.connectors.runner import a_webhook
from tests.integration.connectors.tables import Post
from tests.integration.connectors.webexteams_table import BOT, TABLE, asked, event, post
from tests.support.service import FakeService


def settings(service: FakeService) -> dict[str, Any]:
    return {"api_url": f"{service.url}v1"}


async def test_the_bots_id_is_fetched_once(service: FakeService) -> None:
    service.answer = asked
    async with a_webhook(TABLE, settings(service)) as webhook:
        for _ in range(2):
            assert (await webhook.post(post(event("aGVsbG8"))))[0] == 200
    assert [call.path for call in service.calls] == [
        "/v1/people/me",
        "/v1/messages/aGVsbG8",
        "/v1/messages/aGVsbG8",
    ]


async def test_the_bots_own_messages_are_not_fetched(service: FakeService) -> None:
    service.answer = asked
    async with a_webhook(TABLE, settings(service)) as webhook:
        await webhook.post(post(event("b3du", personId=BOT)))
    assert [call.path for call in service.calls] == ["/v1/people/me"]


@pytest.mark.parametrize("status", [401, 403, 429, 500])
@pytest.mark.parametrize("failing", ["/v1/people/me", "/v1/messages/aGVsbG8"])
async def test_webex_must_send_again_if_the_fetch_fails(
    service: FakeService, failing: str, status: int
) -> None:
    def answer(call: Any) -> web.Response:
        if call.path == failing:
            return web.json_response({"message": "no"}, status=status)
        return asked(call)

    service.answer = answer
    async with a_webhook(TABLE, settings(service)) as webhook:
        code, said, _ = await webhook.post(post(event("aGVsbG8")))
        assert (code, webhook.messages) == (503, [])
        assert "send it again" in said
        service.answer = asked
        webhook.later()
        assert (await webhook.post(post(event("aGVsbG8"))))[0] == 200
        assert len(webhook.messages) == 1


@pytest.mark.parametrize("body", ["<html>", "[]", "{}"])
@pytest.mark.parametrize("odd", ["/v1/people/me", "/v1/messages/aGVsbG8"])
async def test_webex_must_send_again_after_a_malformed_response(
    service: FakeService, odd: str, body: str
) -> None:
    service.answer = lambda call: web.Response(text=body) if call.path == odd else asked(call)
    async with a_webhook(TABLE, settings(service)) as webhook:
        assert (await webhook.post(post(event("aGVsbG8"))))[0] == 503
        assert not webhook.messages


async def test_no_message_is_accepted_while_webex_is_unreachable(service: FakeService) -> None:
    await service.stop()
    async with a_webhook(TABLE, settings(service)) as webhook:
        assert (await webhook.post(post(event("aGVsbG8"))))[0] == 503


async def test_a_forged_request_causes_no_call(service: FakeService) -> None:
    async with a_webhook(TABLE, settings(service)) as webhook:
        genuine = post(event("aGVsbG8"))
        forged = Post(genuine.body + b" ", genuine.headers)
        assert (await webhook.post(forged))[0] == 403
    assert not service.calls


def test_a_start_warns_about_missing_keys() -> None:
    (warning,) = load_channel("webexteams", {"access_token": "t"}).connector.warnings()
    assert "'secret'" in warning
    assert not load_channel("webexteams", TABLE.section("http://x/")).connector.warnings()
    with pytest.raises(SettingsError, match="'access_token'"):
        load_channel("webexteams", {"access_token": " "})
