"""`rocketchat`: expiry of sessions, and the number of logins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from bridge.connectors.registry import load_channel
from bridge.errors import RetryableDeliveryError, ServiceUnavailable, SettingsError
from tests.integration.connectors.rocketchat_table import PASSWORD, TABLE
from tests.integration.connectors.runner import a_dispatcher
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService


class Server:
    """Issues a new token per login, and accepts only the latest one."""

    def __init__(self, service: FakeService) -> None:
        self.service = service
        self.logins = 0
        self.takes = True
        self.login_status = 200
        service.answer = self.answer

    def answer(self, call: Call) -> web.Response:
        if call.path == "/api/v1/login":
            self.logins += 1
            data = {"authToken": f"token-{self.logins}", "userId": "u1"}
            body = {"status": "success", "data": data} if self.login_status == 200 else {}
            return web.json_response(body, status=self.login_status)
        if not self.takes or call.headers["X-Auth-Token"] != f"token-{self.logins}":
            body = {"status": "error", "message": "You must be logged in to do this."}
            return web.json_response(body, status=401)
        return web.json_response({"success": True})

    def paths(self) -> list[str]:
        return [call.path.rpartition("/")[2] for call in self.service.calls]


def reply(n: int) -> Any:
    return a_reply(f"e{n}:0", channel="rocketchat")


async def test_an_expired_session_is_renewed_once_for_all_calls(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service) as dispatcher:
        server = Server(service)
        await dispatcher.deliver(reply(0))
        server.logins += 1
        await asyncio.gather(*(dispatcher.deliver(reply(n)) for n in range(1, 4)))
    assert server.paths().count("login") == 2
    assert len(service.accepted) == 2 + 4


async def test_a_refused_session_makes_the_service_unavailable(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service) as dispatcher:
        server = Server(service)
        server.takes = False
        with pytest.raises(ServiceUnavailable) as caught:
            await dispatcher.deliver(reply(0))
    assert type(caught.value) is ServiceUnavailable
    assert server.paths() == ["login", "chat.postMessage", "login", "chat.postMessage"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ServiceUnavailable),
        (403, ServiceUnavailable),
        (200, ServiceUnavailable),
        (429, RetryableDeliveryError),
        (500, RetryableDeliveryError),
    ],
)
async def test_a_failed_login_loses_no_reply(
    service: FakeService, status: int, error: type[Exception]
) -> None:
    async with a_dispatcher(TABLE, service) as dispatcher:
        server = Server(service)
        server.login_status = status
        if status == 200:
            service.answer = lambda call: web.json_response({"status": "success", "data": None})
        with pytest.raises(RetryableDeliveryError) as caught:
            await dispatcher.deliver(reply(0))
        assert type(caught.value) is error
        assert PASSWORD not in str(caught.value)
        server.login_status = 200
        service.answer = server.answer
        await dispatcher.deliver(reply(0))


async def test_an_email_address_logs_in_as_with_rasas_client(service: FakeService) -> None:
    async with a_dispatcher(TABLE, service, {"user": "rasa@x.org"}) as dispatcher:
        await dispatcher.deliver(reply(0))
    assert service.calls[0].body == {"user": "rasa@x.org", "password": PASSWORD}


@pytest.mark.parametrize("key", ["user", "password"])
def test_an_error_names_an_empty_key(key: str) -> None:
    with pytest.raises(SettingsError, match=f"'{key}'"):
        load_channel("rocketchat", {**TABLE.section("http://x/"), key: " "})


def test_a_start_warns_about_risky_settings() -> None:
    keys = TABLE.section("http://x/", {"outgoing_webhook_token": None, "user": "rasa@x.org"})
    unchecked, address = load_channel("rocketchat", keys).connector.warnings()
    assert "'outgoing_webhook_token'" in unchecked
    assert "'user'" in address
    assert not load_channel("rocketchat", TABLE.section("http://x/")).connector.warnings()
