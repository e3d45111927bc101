"""`botframework`: caching and renewal of keys and tokens; the address of replies."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from bridge.connectors.botframework.tokens import KEYS_LAST
from bridge.errors import (
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response
from tests.integration.connectors.botframework_table import (
    CONVERSATION,
    FOREIGN,
    ISSUER,
    OTHER,
    ROUTE,
    SERVICE,
    SIGNING,
    TABLE,
    message,
    post,
    public,
    token,
)
from tests.integration.connectors.runner import a_webhook, channel_of
from tests.support.fakes import a_reply
from tests.support.service import Call, FakeService


def having(service: FakeService, **keys: Any) -> None:
    answers = {
        "/openid": {"issuer": ISSUER, "jwks_uri": f"{service.url}keys"},
        "/keys": {"keys": [public(kid, key) for kid, key in keys.items()]},
    }
    service.answer = lambda call: web.json_response(answers[call.path])


async def test_keys_are_fetched_once_a_day(service: FakeService) -> None:
    having(service, k1=SIGNING)
    async with a_webhook(TABLE, url=service.url) as webhook:
        for _ in range(3):
            assert (await webhook.post(post(message())))[0] == 200
        assert [call.path for call in service.calls] == ["/openid", "/keys"]
        later = webhook.connector.now() + KEYS_LAST
        webhook.connector.now = lambda: later
        assert (await webhook.post(post(message())))[0] == 200
        assert len(service.calls) == 4


async def test_a_new_key_is_fetched_but_not_for_every_invalid_token(
    service: FakeService,
) -> None:
    having(service, k1=SIGNING)
    newer = post(message(), token(OTHER, "k2"))
    async with a_webhook(TABLE, url=service.url) as webhook:
        assert (await webhook.post(post(message())))[0] == 200
        having(service, k2=OTHER)
        for _ in range(3):
            assert (await webhook.post(newer))[0] == 403
        assert len(service.calls) == 2
        later = webhook.connector.now() + 61
        webhook.connector.now = lambda: later
        assert (await webhook.post(newer))[0] == 200
        assert len(service.calls) == 4


async def test_without_keys_the_sender_must_send_again(service: FakeService) -> None:
    async with a_webhook(TABLE, url=service.url) as webhook:
        for answer in (web.json_response({}), web.Response(status=500)):
            service.answer = lambda call, answer=answer: answer  # type: ignore[misc]
            assert (await webhook.post(post(message())))[0] == 503
            webhook.later()
        assert not webhook.messages
        having(service, k1=SIGNING)
        assert (await webhook.post(post(message())))[0] == 200


async def test_known_keys_are_used_while_new_ones_are_not_available(service: FakeService) -> None:
    having(service, k1=SIGNING)
    async with a_webhook(TABLE, url=service.url) as webhook:
        assert (await webhook.post(post(message())))[0] == 200
        await service.stop()
        later = webhook.connector.now() + 2 * KEYS_LAST
        webhook.connector.now = lambda: later
        assert (await webhook.post(post(message())))[0] == 200


class Login:
    """Grants tokens `t1`, `t2`, …; refuses activities with any but the latest token."""

    def __init__(self, **granted: Any) -> None:
        self.tokens = 0
        self.granted = {"expires_in": 3600, **granted}
        self.closed = False

    def __call__(self, call: Call) -> web.Response:
        if call.path.endswith("/token"):
            self.tokens += 1
            return web.json_response({"access_token": f"t{self.tokens}", **self.granted})
        good = not self.closed and call.headers["Authorization"] == f"Bearer t{self.tokens}"
        return web.json_response({}, status=200 if good else 401)


@asynccontextmanager
async def delivering(
    service: FakeService, answer: Any, **settings: Any
) -> AsyncIterator[tuple[Any, Any]]:
    service.answer = answer
    connector: Any = channel_of(TABLE, service.url, settings).connector
    async with HttpClient() as http:

        async def deliver(**fields: Any) -> None:
            await connector.deliver(a_reply(**{"route": ROUTE, **fields}), http)

        yield connector, deliver


async def test_one_token_serves_all_calls_until_shortly_before_its_expiry(
    service: FakeService,
) -> None:
    login = Login()
    async with delivering(service, login) as (connector, deliver):
        for _ in range(3):
            await deliver()
        assert login.tokens == 1
        later = connector.now() + 3600 - 299
        connector.now = lambda: later
        await deliver()
        assert login.tokens == 2
    assert len(service.accepted) == 6


async def test_a_token_that_is_valid_for_two_minutes_is_used_for_one(service: FakeService) -> None:
    login = Login(expires_in="120")
    async with delivering(service, login) as (connector, deliver):
        await deliver()
        await deliver()
        assert login.tokens == 1
        later = connector.now() + 61
        connector.now = lambda: later
        await deliver()
    assert login.tokens == 2


async def test_a_refused_token_is_renewed_once(service: FakeService) -> None:
    login = Login()
    async with delivering(service, login) as (_, deliver):
        await deliver()
        login.granted = {**login.granted}
        login.tokens = 7
        await deliver()
        assert login.tokens == 8
        login.closed = True
        with pytest.raises(ServiceUnavailable, match="'app_password'"):
            await deliver()
    assert login.tokens == 9


@pytest.mark.parametrize(
    ("answer", "error", "retry_after"),
    [
        (lambda: web.json_response({"error": "invalid_client"}, status=401), "app_password", None),
        (lambda: web.json_response({"error": "unauthorized_client"}, status=400), "tenant", None),
        (lambda: web.json_response({"no": "token"}), "no token", None),
        (lambda: web.Response(status=429, headers={"Retry-After": "7"}), "429", 7.0),
        (lambda: web.Response(status=503), "503", None),
    ],
)
async def test_without_a_token_no_reply_is_lost(
    answer: Any, error: str, retry_after: float | None, service: FakeService
) -> None:
    async with delivering(service, lambda call: answer()) as (_, deliver):
        with pytest.raises(RetryableDeliveryError, match=error) as caught:
            await deliver()
    assert caught.value.retry_after == retry_after
    assert len(service.calls) == 1


class Recording:
    """Stands in for the client: notes where a token is sent."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    async def post_form(self, *_: Any, **__: Any) -> Response:
        return Response(200, {}, b'{"access_token": "t", "expires_in": 3600}')

    async def post_json(self, url: str, *_: Any, **__: Any) -> Response:
        self.urls.append(url)
        return Response(200, {}, b"{}")


ALLOWED = [
    SERVICE,
    "https://smba.trafficmanager.net/amer",
    "https://SMBA.trafficmanager.net:443/teams/0b2f4c5e-1a2b/",
    "https://webchat.botframework.com/",
    "https://europe.directline.botframework.com",
    "https://smba.infra.gcc.teams.microsoft.com/teams/",
    "https://smba.infra.gov.teams.microsoft.us/gcch/",
    "https://webchat.botframework.azure.us/",
    "https://smba.contoso.example/a/",
    "https://eu.bots.contoso.example/",
]


@pytest.mark.parametrize("url", ALLOWED)
async def test_a_reply_is_sent_to_the_service_url_of_its_message(url: str) -> None:
    hosts = {"service_hosts": ["smba.contoso.example", ".bots.contoso.example"], "api_url": None}
    said = post(message(serviceUrl=url), token(serviceurl=url))
    http: Any = Recording()
    async with a_webhook(TABLE, hosts) as webhook:
        assert (await webhook.post(said))[0] == 200
        (heard,) = webhook.messages
        await webhook.connector.deliver(a_reply(route=heard.route), http)
    base = url.rstrip("/")
    conversation = quote(CONVERSATION, safe="")
    assert http.urls == [f"{base}/v3/conversations/{conversation}/activities"]


@pytest.mark.parametrize("url", [*FOREIGN, "", None, 1, ["https://webchat.botframework.com/"]])
async def test_the_bots_token_is_sent_to_no_other_url_no_matter_who_wrote_the_reply(
    url: Any,
) -> None:
    connector = channel_of(TABLE, "http://x/", {"api_url": None}).connector
    http: Any = Recording()
    with pytest.raises(RejectedDeliveryError, match="the service URL is not allowed"):
        await connector.deliver(a_reply(route={**ROUTE, "service_url": url}), http)
    assert not http.urls


@pytest.mark.parametrize("host", ["https://x.example", "x.example/a", "*.x.example", ".", "x:1"])
def test_a_service_host_is_a_name(host: str) -> None:
    with pytest.raises(SettingsError, match="'service_hosts'"):
        channel_of(TABLE, "http://x/", {"service_hosts": [host]})


async def test_a_single_tenant_bot_gets_its_token_from_its_tenant(service: FakeService) -> None:
    async with delivering(service, Login(), tenant="contoso") as (_, deliver):
        await deliver()
    assert service.calls[0].path == "/contoso/oauth2/v2.0/token"


@pytest.mark.parametrize("key", ["app_id", "app_password"])
def test_an_empty_key_is_an_error(key: str) -> None:
    with pytest.raises(SettingsError, match=f"'{key}' is empty"):
        channel_of(TABLE, "http://x/", {key: " "})


async def test_a_conversation_id_may_have_any_characters(service: FakeService) -> None:
    odd = "19:a?b#c%2Fd/e@thread.tacv2;messageid=1"
    async with delivering(service, Login()) as (_, deliver):
        await deliver(route={**ROUTE, "conversation": odd})
    assert service.calls[1].path == f"/v3/conversations/{odd}/activities"


async def test_clocks_may_differ_by_five_minutes() -> None:
    async with a_webhook(TABLE) as webhook:
        ended = post(message(), token(exp=int(time.time()) - 100))
        assert (await webhook.post(ended))[0] == 200
        assert [said.text for said in webhook.messages] == ["hello"]
