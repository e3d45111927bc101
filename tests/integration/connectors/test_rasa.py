"""`rasa`: when the keys that sign tokens are fetched."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.integration.connectors.rasa_table import (
    ADA,
    HELLO,
    OTHER,
    SIGNING,
    TABLE,
    posting,
    public,
    token,
)
from tests.integration.connectors.runner import a_webhook
from tests.support.service import FakeService


def having(service: FakeService, *keys: Any) -> None:
    body = {"keys": [{"key": public(key), "alg": "RS256"} for key in keys]}
    service.answer = lambda call: web.json_response(body)


async def test_keys_are_fetched_once(service: FakeService) -> None:
    having(service, SIGNING)
    async with a_webhook(TABLE, url=service.url) as webhook:
        for _ in range(3):
            assert (await webhook.post(ADA(HELLO)))[0] == 200
    assert [(call.method, call.path) for call in service.calls] == [("GET", "/api/version")]


async def test_a_new_key_is_fetched_but_not_for_every_invalid_token(
    service: FakeService,
) -> None:
    having(service, SIGNING)
    newer = posting(token(OTHER))
    async with a_webhook(TABLE, url=service.url) as webhook:
        assert (await webhook.post(ADA(HELLO)))[0] == 200
        having(service, OTHER)
        for _ in range(3):
            assert (await webhook.post(newer(HELLO)))[0] == 403
        assert len(service.calls) == 1
        webhook.connector.now = lambda: 1e12
        assert (await webhook.post(newer(HELLO)))[0] == 200
        assert (await webhook.post(ADA(HELLO)))[0] == 403
        assert len(service.calls) == 2


async def test_each_of_several_keys_is_accepted(service: FakeService) -> None:
    having(service, OTHER, SIGNING)
    async with a_webhook(TABLE, url=service.url) as webhook:
        for key in (SIGNING, OTHER):
            assert (await webhook.post(posting(token(key))(HELLO)))[0] == 200


async def test_without_keys_the_sender_must_send_again(service: FakeService) -> None:
    async with a_webhook(TABLE, url=service.url) as webhook:
        for answer in (web.json_response({"rasa": "1"}), web.Response(status=500)):
            service.answer = lambda call, answer=answer: answer  # type: ignore[misc]
            status, said, _ = await webhook.post(ADA(HELLO))
            assert status == 503
            assert "not available" in said
            webhook.later()
        assert not webhook.messages
        having(service, SIGNING)
        assert (await webhook.post(ADA(HELLO)))[0] == 200


async def test_known_keys_are_used_while_new_ones_are_not_available(service: FakeService) -> None:
    having(service, SIGNING)
    async with a_webhook(TABLE, url=service.url) as webhook:
        assert (await webhook.post(ADA(HELLO)))[0] == 200
        await service.stop()
        webhook.connector.now = lambda: 1e12
        assert (await webhook.post(posting(token(OTHER))(HELLO)))[0] == 403
        assert (await webhook.post(ADA(HELLO)))[0] == 200
