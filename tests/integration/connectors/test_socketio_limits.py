"""`socketio` and strangers: what they may send, hold and join."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import jwt
import pytest
from sanic import Sanic
from socketio.exceptions import BadNamespaceError

from bridge.broker.topology import Topology
from bridge.connectors.registry import load_channels
from bridge.connectors.socketio import server as limits
from bridge.webhook.inbox import QueueInbox
from bridge.webhook.server import create_app
from tests.integration.connectors.runner import serving
from tests.integration.connectors.socketio_cases import KEY
from tests.integration.connectors.test_socketio import Loop, a_server
from tests.support.fakes import FakePublisher
from tests.support.raw import connected, head
from tests.support.sockets import client
from tests.support.waiting import eventually

URL = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(autouse=True)
def _sanic_may_have_two_apps() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


@asynccontextmanager
async def a_socket(
    base: str, connect: bool = True
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare WebSocket that has been opened, and by default connected to the namespace."""
    socket: Any
    async with aiohttp.ClientSession() as http, http.ws_connect(base + URL) as socket:
        assert str(await socket.receive_str())[0] == "0"
        if connect:
            await socket.send_str("40")
            assert str(await socket.receive_str())[:3] == "40{"
        yield socket


async def closed(socket: Any) -> bool:
    """Wait until the server has closed a socket."""

    async def read() -> None:
        async for _ in socket:
            pass

    await asyncio.wait_for(read(), 30)
    return True


REFUSED: dict[str, list[str | bytes]] = {
    "attachments": ['451-["user_uttered",{"_placeholder":true,"num":0}]', b"x" * 1000],
    "endless attachments": ['45999999999-["user_uttered",{}]'],
    "attachments of an acknowledgement": ['461-1[{"_placeholder":true,"num":0}]'],
    "a binary message": [b"hello"],
    "a second connect": ["40"],
    "a second connect with a token": ['40{"token":"x"}'],
    "no packet type": ["4x"],
    "an unknown packet type": ["49"],
    "an error packet": ["44{}"],
    "no JSON": ["42[[["],
    "deep JSON": ["42" + "[" * 100_000],
    "an event that is no list": ["42{}"],
    "an event without a name": ["42[]"],
    "a name that is a list": ["42[[1]]"],
    "a long id": ["42" + "9" * 200 + '["a"]'],
    "a too long event": ["42" + json.dumps(["user_uttered", {"message": "x" * 200_000}])],
    "no Engine.IO packet": ["x"],
    "an empty frame": [""],
}


@pytest.mark.parametrize("says", REFUSED)
async def test_whatever_is_not_an_event_closes_the_socket(
    says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_server() as server:
        async with a_socket(server.url) as socket:
            for packet in REFUSED[says]:
                if isinstance(packet, bytes):
                    await socket.send_bytes(packet)
                else:
                    await socket.send_str(packet)
            assert await closed(socket)
        async with client(server.url) as it:
            assert await it.ask("user_uttered", {"message": "hello"}) is None
        assert [message.text for message in server.messages] == ["hello"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_socket_that_never_connects_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(limits, "SWEEP_SECONDS", 0.05)
    async with a_server(jwt_key=KEY) as server, client(server.url, auth=token(60)) as it:
        for packets in ([], ['40{"token":"wrong"}'], ["40/other,"]):
            async with a_socket(server.url, connect=False) as socket:
                for packet in packets:
                    await socket.send_str(packet)
                assert await closed(socket)
        assert await it.ask("user_uttered", {"message": "hello"}) is None


async def test_there_is_a_limit_for_clients() -> None:
    async with (
        a_server(max_clients=3) as server,
        AsyncExitStack() as stack,
        aiohttp.ClientSession() as http,
    ):
        for _ in range(3):
            await stack.enter_async_context(a_socket(server.url))
        for url in (URL, "/socket.io/?EIO=4&transport=polling"):
            async with http.get(server.url + url) as response:
                assert response.status == 503
                assert "too many" in (await response.json())["error"]


async def test_a_socket_is_closed_when_its_token_expires() -> None:
    async with a_server(jwt_key=KEY) as server:
        async with (
            client(server.url, auth=token(3)) as it,
            client(server.url, auth=token(90)) as on,
        ):
            assert await it.ask("user_uttered", {"message": "one"}) is None
            await eventually(lambda: it.ended)
            with pytest.raises(BadNamespaceError):
                await it.emit("user_uttered", {"message": "two"})
            assert await on.ask("user_uttered", {"message": "three"}) is None
        assert [message.text for message in server.messages] == ["one", "three"]


async def test_a_client_that_changes_its_session_no_longer_hears_the_old_one() -> None:
    async with a_server(session_persistence=True) as server, client(server.url) as it:
        for session in ("one", "two", "two"):
            await it.emit("session_request", {"session_id": session})
            await it.hears(("session_confirm", session))
        await server.deliver(recipient_id="one", text="for one")
        await server.deliver(recipient_id="two", text="for two")
        await it.hears(("bot_uttered", {"text": "for two"}))


async def test_ids_have_a_limit() -> None:
    async with a_server(session_persistence=True) as server, client(server.url) as it:
        long = "x" * 1025
        for event, data in (
            ("session_request", {"session_id": long}),
            ("user_uttered", {"message": "a", "session_id": long}),
            ("user_uttered", {"message": "a", "session_id": "s", "message_id": long}),
        ):
            answer = await it.ask(event, data)
            assert answer["status"] == 400
            assert "longer than 1024 bytes" in answer["error"]
            await it.hears(("user_uttered_error", answer))
        assert not server.messages


async def test_two_instances_are_two_servers() -> None:
    channels = load_channels(
        {
            "socketio": {},
            "site-two": {"channel": "socketio", "socketio_path": "/two/socket.io"},
        }
    )
    for channel in channels.values():
        channel.connector.receiver = Loop()
    publisher = FakePublisher()
    inbox = QueueInbox(publisher.queues(Topology(channels=[*channels])), None)  # type: ignore[arg-type]
    edge: Any = SimpleNamespace(inbox=inbox, problem=lambda: None)
    async with (
        serving(create_app(edge, channels)) as url,
        client(url) as it,
        client(url, socketio_path="/two/socket.io") as other,
    ):
        assert await it.ask("user_uttered", {"message": "a"}) is None
        assert await other.ask("user_uttered", {"message": "b"}) is None
    sent = [json.loads(entry.body)["channel"] for entry in publisher.published]
    assert sent == ["socketio", "site-two"]


async def test_a_client_that_does_not_read_is_not_read_either() -> None:
    """Each ping is answered, and the answers would fill the memory."""
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    ping = b"\x89\xfd\0\0\0\0" + b"x" * 125
    most = 64 * 1024 * 1024
    async with a_server() as server, connected(server.url) as it:
        await it.send(head(URL, *upgrade, f"Sec-WebSocket-Key: {key}", method="GET"))
        sent = 0
        while sent < most:
            try:
                await asyncio.wait_for(it.send(ping * 500), 3)
            except asyncio.TimeoutError:
                break
            sent += len(ping) * 500
        assert sent < most / 2


def token(seconds: float) -> dict[str, str]:
    return {"token": jwt.encode({"sub": "ada", "exp": time.time() + seconds}, KEY, "HS256")}


class Evil:
    """Its pickle creates a file when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


async def test_a_pickle_among_the_events_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "executed"
    async with a_server() as server, client(server.url) as it:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            await server.relay.send("evil", pickle.dumps(Evil(str(path)), protocol))
        await server.relay.send("text", b"not JSON")
        await server.deliver(recipient_id=it.sid, text="goes on")
        await it.hears(("bot_uttered", {"text": "goes on"}))
    assert not path.exists()
