"""`mattermost`: a bot that logs in, and a webhook that cannot ask who the bot is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.registry import load_channel
from bridge.errors import ServiceUnavailable, SettingsError
from tests.integration.connectors.mattermost_table import CHANNEL, SECRET, TABLE, hook, post
from tests.integration.connectors.runner import a_dispatcher, a_webhook
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService

PASSWORD = "s3cret-pw"
LOGS_IN = {"token": None, "user": "rasa@x.org", "pw": PASSWORD}


class Server:
    """Logs in with new tokens, and takes the newest one only."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.tokens: list[str] = []
        self.takes = True
        service.answer = self.answer

    def answer(self, call: Call) -> web.Response:
        if call.path == "/api/v4/users/login":
            if call.body != {"login_id": "rasa@x.org", "password": PASSWORD}:
                return web.json_response({}, status=401)
            self.tokens.append(f"session-{len(self.tokens)}")
            return web.json_response({"id": "bot"}, headers={"Token": self.tokens[-1]})
        if not self.takes or call.headers["Authorization"] != f"Bearer {self.tokens[-1]}":
            return web.json_response({}, status=401)
        return web.json_response({"id": "p1"}, status=201)

    def paths(self) -> list[str]:
        return [call.path.rpartition("/")[2] for call in self.service.calls]


def reply(n: int) -> Any:
    return a_reply(f"e{n}:0", channel="mattermost", route={"channel_id": CHANNEL})


async def test_one_login_serves_all_posts(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, LOGS_IN) as dispatcher:
        server = Server(service)
        await asyncio.gather(*(dispatcher.deliver(reply(n)) for n in range(3)))
    assert server.paths() == ["login", "posts", "posts", "posts"]


async def test_a_session_that_has_ended_is_renewed_once_for_all(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, LOGS_IN) as dispatcher:
        server = Server(service)
        await dispatcher.deliver(reply(0))
        server.tokens.append("ended")
        await asyncio.gather(*(dispatcher.deliver(reply(n)) for n in range(1, 4)))
    assert server.paths().count("login") == 2
    assert len(service.accepted) == 2 + 4


async def test_a_session_that_is_never_taken_closes_the_service(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, LOGS_IN) as dispatcher:
        server = Server(service)
        server.takes = False
        with pytest.raises(ServiceUnavailable) as caught:
            await dispatcher.deliver(reply(0))
    assert type(caught.value) is ServiceUnavailable
    assert server.paths() == ["login", "posts", "login", "posts"]


async def test_a_wrong_password_closes_the_service_and_is_not_told(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, {**LOGS_IN, "pw": "wrong-pw"}) as dispatcher:
        server = Server(service)
        with pytest.raises(ServiceUnavailable, match="'pw'") as caught:
            await dispatcher.deliver(reply(0))
    assert "wrong-pw" not in str(caught.value)
    assert server.paths() == ["login"]


@pytest.mark.parametrize("keys", [{}, {"token": " "}, {"user": "rasa"}, {"pw": "x"}])
def test_without_token_and_login_nothing_starts(keys: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="'token'"):
        load_channel("mattermost", {"url": "https://chat.example/api/v4", **keys})


async def test_a_webhook_that_cannot_ask_who_the_bot_is_takes_nothing(
    service: FakeService,
) -> None:
    settings = {"url": f"{service.url}api/v4"}
    service.answer = lambda call: web.json_response({}, status=500)
    async with a_webhook(TABLE, settings) as webhook:
        unaddressed = post(hook(trigger_word=""))
        status, answer, _ = await webhook.post(unaddressed)
        assert (status, webhook.messages) == (503, [])
        assert "send it again" in answer
        service.answer = lambda call: web.json_response({"id": "bot"})
        for _ in range(2):
            assert (await webhook.post(unaddressed))[0] == 200
        assert len(webhook.messages) == 2
    assert [call.path for call in service.calls] == ["/api/v4/users/me"] * 2


async def test_what_is_forged_asks_mattermost_nothing(service: FakeService) -> None:
    async with a_webhook(TABLE, {"url": service.url}) as webhook:
        forged = post(hook(trigger_word="", token=SECRET[::-1]))
        assert (await webhook.post(forged))[0] == 403
    assert not service.calls


def test_what_is_not_configured_is_told() -> None:
    keys = {"url": "https://chat.example/api/v4", "token": "t"}
    warnings = load_channel("mattermost", keys).connector.warnings()
    assert [key for key in ("outgoing_webhook_token", "webhook_url") if key in str(warnings)]
    assert len(warnings) == 2
    keys |= {"outgoing_webhook_token": "a", "webhook_url": "https://bot.example/"}
    assert not load_channel("mattermost", keys).connector.warnings()
