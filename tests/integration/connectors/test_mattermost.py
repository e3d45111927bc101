"""`mattermost`: logins of the bot, and a webhook that cannot fetch the bot's id."""

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
    """Issues a new token per login, and accepts only the latest one."""

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


async def test_an_expired_session_is_renewed_once_for_all_calls(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, LOGS_IN) as dispatcher:
        server = Server(service)
        await dispatcher.deliver(reply(0))
        server.tokens.append("ended")
        await asyncio.gather(*(dispatcher.deliver(reply(n)) for n in range(1, 4)))
    assert server.paths().count("login") == 2
    assert len(service.accepted) == 2 + 4


async def test_a_refused_session_makes_the_service_unavailable(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, LOGS_IN) as dispatcher:
        server = Server(service)
        server.takes = False
        with pytest.raises(ServiceUnavailable) as caught:
            await dispatcher.deliver(reply(0))
    assert type(caught.value) is ServiceUnavailable
    assert server.paths() == ["login", "posts", "login", "posts"]


async def test_a_wrong_password_makes_the_service_unavailable_and_is_not_quoted(
    service: FakeService,
) -> None:
    async with a_dispatcher(TABLE, service, {**LOGS_IN, "pw": "wrong-pw"}) as dispatcher:
        server = Server(service)
        with pytest.raises(ServiceUnavailable, match="'pw'") as caught:
            await dispatcher.deliver(reply(0))
    assert "wrong-pw" not in str(caught.value)
    assert server.paths() == ["login"]


@pytest.mark.parametrize("keys", [{}, {"token": " "}, {"user": "rasa"}, {"pw": "x"}])
def test_a_token_or_a_login_is_required(keys: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="'token'"):
        load_channel("mattermost", {"url": "https://chat.example/api/v4", **keys})


async def test_no_message_is_accepted_while_the_bots_id_is_not_available(
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
        webhook.later()
        for _ in range(2):
            assert (await webhook.post(unaddressed))[0] == 200
        assert len(webhook.messages) == 2
    assert [call.path for call in service.calls] == ["/api/v4/users/me"] * 2


async def test_a_forged_request_causes_no_call(service: FakeService) -> None:
    async with a_webhook(TABLE, {"url": service.url}) as webhook:
        forged = post(hook(trigger_word="", token=SECRET[::-1]))
        assert (await webhook.post(forged))[0] == 403
    assert not service.calls


def test_a_start_warns_about_missing_keys() -> None:
    keys = {"url": "https://chat.example/api/v4", "token": "t"}
    warnings = load_channel("mattermost", keys).connector.warnings()
    assert [key for key in ("outgoing_webhook_token", "webhook_url") if key in str(warnings)]
    assert len(warnings) == 2
    keys |= {"outgoing_webhook_token": "a", "webhook_url": "https://bot.example/"}
    assert not load_channel("mattermost", keys).connector.warnings()
