"""Pages of other origins: the headers that a browser needs, and nothing for unlisted origins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from sanic import Sanic

from bridge.broker.topology import Topology
from bridge.connectors.registry import load_channels
from bridge.http.cors import Origins, allow_origins
from bridge.webhook.inbox import QueueInbox
from bridge.webhook.server import create_app
from tests.integration.connectors.runner import Inbox, serving
from tests.integration.connectors.test_socketio import Loop
from tests.support.fakes import FakePublisher

SHOP, EVIL = "https://shop.example", "https://evil.example"
HELLO = {"sender": "ada", "message": "hello"}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, authorization",
}


@pytest.fixture(autouse=True)
def _sanic_may_have_two_apps() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


@asynccontextmanager
async def a_server(origins: list[str]) -> AsyncIterator[str]:
    sections = {"rest": {}, "callback": {"url": "http://x.org"}, "socketio": {}}
    channels = load_channels(sections)
    relay: Any = Loop()
    channels["socketio"].connector.receiver = relay
    inbox: QueueInbox = Inbox(FakePublisher(), "callback")
    inbox._queues = FakePublisher().queues(Topology(channels=["callback", "socketio"]))
    node: Any = SimpleNamespace(inbox=inbox, problem=lambda: None)
    app = create_app(node, channels)
    if origins:
        allow_origins(app, Origins(origins))
    async with serving(app) as url:
        yield url


def cors(headers: Mapping[str, str]) -> dict[str, str]:
    return {k.lower(): v for k, v in headers.items() if k.lower().startswith("access-control-")}


async def ask(method: str, url: str, origin: str | None, **more: Any) -> Any:
    headers = {**more.pop("headers", {}), **({"Origin": origin} if origin else {})}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, url, headers=headers, **more) as response,
    ):
        await response.read()
        return response


PATHS = {
    "rest": "/webhooks/rest/webhook",
    "a stream": "/webhooks/rest/webhook?stream=true",
    "callback": "/webhooks/callback/webhook",
    "socketio": "/socket.io/?EIO=4&transport=polling",
}


@pytest.mark.parametrize("name", PATHS)
async def test_a_page_of_a_listed_origin_may_read_the_response(name: str) -> None:
    async with a_server([SHOP]) as url:
        method = "GET" if name == "socketio" else "POST"
        body = None if name == "socketio" else HELLO
        response = await ask(method, url + PATHS[name], SHOP, json=body)
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response.headers["Vary"]
        for other in (EVIL, "null", None):
            response = await ask(method, url + PATHS[name], other, json=body)
            assert not cors(response.headers)
            refused = name == "socketio" and other
            assert response.status == (403 if refused else 200)


@pytest.mark.parametrize("name", PATHS)
async def test_a_preflight_is_answered_for_listed_origins_only(name: str) -> None:
    async with a_server([SHOP]) as url:
        response = await ask("OPTIONS", url + PATHS[name], SHOP, headers=PREFLIGHT)
        assert response.status == 204
        allowed = cors(response.headers)
        assert allowed["access-control-allow-origin"] == SHOP
        assert "POST" in allowed["access-control-allow-methods"]
        assert allowed["access-control-allow-headers"] == "content-type, authorization"
        for other in (EVIL, None):
            response = await ask("OPTIONS", url + PATHS[name], other, headers=PREFLIGHT)
            assert not cors(response.headers)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/webhooks/rest/webhook", b"[]", 400),
        ("POST", "/webhooks/callback/webhook", b"x" * 1_100_000, 413),
        ("PUT", "/webhooks/rest/webhook", b"", 405),
        ("GET", "/nowhere", b"", 404),
        ("GET", "/", b"", 200),
    ],
)
async def test_an_error_may_be_read_too(method: str, path: str, body: bytes, status: int) -> None:
    async with a_server(["*"]) as url:
        response = await ask(method, url + path, EVIL, data=body or None)
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == EVIL


async def test_without_a_list_nothing_is_added_and_a_socket_may_connect_as_in_rasa() -> None:
    async with a_server([]) as url:
        for path in PATHS.values():
            response = await ask("OPTIONS", url + path, SHOP, headers=PREFLIGHT)
            assert not cors(response.headers)
        assert await opens_socket(url, EVIL)


async def test_a_websocket_opens_for_listed_origins_and_pages_of_this_server() -> None:
    async with a_server([SHOP]) as url:
        assert await opens_socket(url, SHOP)
        assert await opens_socket(url, url)
        assert await opens_socket(url, None)
        assert not await opens_socket(url, EVIL)


async def opens_socket(url: str, origin: str | None) -> bool:
    address = f"{url}/socket.io/?EIO=4&transport=websocket"
    try:
        async with aiohttp.ClientSession() as http, http.ws_connect(address, origin=origin):
            return True
    except aiohttp.WSServerHandshakeError as error:
        return error.status != 403
