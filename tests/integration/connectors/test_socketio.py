"""`socketio`: real sockets. The test's process passes on the events in place of RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import socketio
from sanic import Sanic

from bridge.broker.topology import Topology
from bridge.connectors.registry import Channel, load_channels
from bridge.errors import BrokerUnavailable, RejectedDeliveryError, SettingsError
from bridge.messages import InboundMessage, decode
from bridge.webhook.inbox import QueueInbox
from bridge.webhook.server import create_app
from tests.integration.connectors.runner import serving
from tests.integration.connectors.socketio_cases import KEY, MAY_CONNECT, MAY_NOT, REPLIES, SAID
from tests.support.fakes import FakePublisher, a_reply
from tests.support.sockets import Client, client
from tests.support.waiting import eventually


class Loop:
    """Replaces the relay: receives what is sent."""

    receives = True
    reached = True

    def __init__(self) -> None:
        self._events: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self, id: str, event: bytes, awaited: bool = False) -> bool:
        self._events.put_nowait(event)
        return True

    async def events(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._events.get()


class Server:
    """The server of a webhook process, and the connector of `deliver`."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.relay: Any = Loop()
        channel.connector.sender = channel.connector.receiver = self.relay
        self.publisher = FakePublisher()
        self.url = ""

    @property
    def messages(self) -> list[InboundMessage]:
        return [decode(entry.body, InboundMessage) for entry in self.publisher.published]

    async def deliver(self, **fields: Any) -> None:
        for part in self.channel.connector.split(a_reply(**{"channel": "socketio", **fields})):
            await self.channel.connector.deliver(part, None)  # type: ignore[arg-type]


@asynccontextmanager
async def a_server(**settings: Any) -> AsyncIterator[Server]:
    (channel,) = load_channels({"socketio": settings}).values()
    server = Server(channel)
    inbox = QueueInbox(server.publisher.queues(Topology(channels=["socketio"])), None)  # type: ignore[arg-type]
    edge: Any = SimpleNamespace(inbox=inbox, problem=lambda: None)
    async with serving(create_app(edge, {"socketio": channel})) as server.url:
        yield server


@pytest.fixture(autouse=True)
def _sanic_may_have_two_apps() -> Iterator[None]:
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


async def test_a_clients_event_becomes_a_message_or_an_error() -> None:
    for key, cases in groupby(SAID, lambda case: case.settings):
        async with a_server(**key) as server, client(server.url) as it:
            for case in cases:
                server.publisher.published.clear()
                answer = await it.ask("user_uttered", case.data)
                said = [(m.text, m.metadata, m.sender_id) for m in server.messages]
                if case.text is None:
                    assert answer["status"] == 400, case
                    await it.hears(("user_uttered_error", answer))
                    assert not said, case
                else:
                    assert answer is None, case
                    assert said == [(case.text, case.metadata, it.sid)], case
                    assert server.messages[0].output_channel == "socketio"


async def test_a_reply_becomes_the_events_that_rasa_emits() -> None:
    async with a_server() as server, client(server.url) as it, client(server.url) as other:
        for case in REPLIES:
            if case.emits is None:
                with pytest.raises(RejectedDeliveryError):
                    await server.deliver(recipient_id=it.sid, **case.reply)
                continue
            await server.deliver(recipient_id=it.sid, **case.reply)
            await server.deliver(recipient_id=it.sid, text=case.name)
            emitted = [*case.emits, {"text": case.name}]
            await it.hears(*[("bot_uttered", data) for data in emitted])
        assert not other.heard


async def test_a_session_outlives_its_connection() -> None:
    async with a_server(session_persistence=True) as server:
        async with client(server.url) as it:
            await it.emit("session_request", None)
            await eventually(lambda: it.heard)
            ((event, session),) = it.heard
            assert event == "session_confirm"
        async with client(server.url) as it:
            await it.emit("session_request", {"session_id": session})
            await it.hears(("session_confirm", session))
            hello = {"message": "hello", "session_id": session, "message_id": "m-1"}
            assert await it.ask("user_uttered", hello) is None
            (message,) = server.messages
            assert (message.sender_id, message.id) == (session, f"{session}:m-1")
            await server.deliver(recipient_id=session, text="hi")
            await it.hears(("bot_uttered", {"text": "hi"}))
            assert "session_id" in (await it.ask("user_uttered", {"message": "x"}))["error"]


async def test_without_persistence_a_client_cannot_join_another_session() -> None:
    async with a_server() as server, client(server.url) as it, client(server.url) as other:
        await other.emit("session_request", {"session_id": it.sid})
        await other.hears(("session_confirm", it.sid))
        await server.deliver(recipient_id=it.sid, text="secret")
        await it.hears(("bot_uttered", {"text": "secret"}))
        await server.deliver(recipient_id=other.sid, text="yours")
        await other.hears(("bot_uttered", {"text": "yours"}))


async def test_a_message_that_is_not_on_the_queue_is_an_error_to_the_client() -> None:
    async with a_server() as server, client(server.url) as it:
        server.publisher.down = BrokerUnavailable("no connection")
        answer = await it.ask("user_uttered", {"message": "hello"})
        assert answer["status"] == 503
        assert "send it again" in answer["error"]
        await it.hears(("user_uttered_error", answer))
        server.publisher.down = None
        server.relay.receives = False
        assert (await it.ask("user_uttered", {"message": "hello"}))["status"] == 503
        assert not server.messages
        server.relay.receives = True
        assert await it.ask("user_uttered", {"message": "hello"}) is None
        assert len(server.messages) == 1


async def test_events_namespace_path_and_metadata_key_are_configurable() -> None:
    settings = {
        "user_message_evt": "said",
        "bot_message_evt": "answered",
        "namespace": "/chat",
        "socketio_path": "/ws/io",
        "metadata_key": "customData",
    }
    async with (
        a_server(**settings) as server,
        client(server.url, "/chat", socketio_path="/ws/io") as it,
    ):
        await it.emit("session_request", {"session_id": "s"})
        await it.hears(("session_confirm", "s"))
        assert await it.ask("said", {"message": "x", "customData": {"a": 1}}) is None
        (message,) = server.messages
        assert message.metadata == {"a": 1}
        await server.deliver(recipient_id=message.sender_id, text="hi")
        await it.hears(("answered", {"text": "hi"}))
        assert (await it.ask("said", None))["status"] == 400
        assert it.heard.pop()[0] == "said_error"


async def test_a_client_may_poll() -> None:
    it = Client()
    async with a_server() as server:
        await it.connect(server.url, "polling")
        assert await it.ask("user_uttered", {"message": "hello"}) is None
        await server.deliver(recipient_id=server.messages[0].sender_id, text="hi")
        await it.hears(("bot_uttered", {"text": "hi"}))
    # The server ends the connection; otherwise the client would wait for its request.
    await eventually(lambda: it.ended)


async def test_with_a_key_a_connection_requires_a_token() -> None:
    async with a_server(jwt_key=KEY) as server:
        for auth in MAY_CONNECT:
            async with client(server.url, auth=auth) as it:
                assert await it.ask("user_uttered", {"message": "hello"}) is None
        for auth in [*MAY_NOT, "x", {"token": 7}]:
            with pytest.raises(socketio.exceptions.ConnectionError):
                await Client().connect(server.url, auth=auth)


@pytest.mark.parametrize("body", ["secret", "4secret", "42secret", "42" + "[" * 100_000])
async def test_garbage_is_neither_enqueued_nor_logged(
    body: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_server() as server, aiohttp.ClientSession() as http:
        url = f"{server.url}/socket.io/?EIO=4&transport=websocket"
        async with http.ws_connect(url) as socket:
            for text in ("40", body):
                await socket.send_str(text)
            async with client(server.url) as it:
                assert await it.ask("user_uttered", {"message": "hello"}) is None
        assert len(server.messages) == 1
        assert "secret" not in caplog.text
        assert "Traceback" not in caplog.text


def test_an_error_names_the_invalid_key() -> None:
    with pytest.raises(SettingsError, match="jwt_method"):
        load_channels({"socketio": {"jwt_method": "none"}})


async def test_two_instances_need_two_paths() -> None:
    two = load_channels({"socketio": {}, "shop": {"channel": "socketio"}})
    for channel in two.values():
        channel.connector.receiver = Loop()
    edge: Any = SimpleNamespace(inbox=None, problem=lambda: None)
    with pytest.raises(SettingsError, match="shop: key 'socketio_path'"):
        create_app(edge, two)


def test_a_start_warns_about_a_missing_key() -> None:
    (open_, closed) = load_channels(
        {"socketio": {}, "other": {"channel": "socketio", "jwt_key": KEY}}
    ).values()
    assert "jwt_key" in open_.connector.warnings()[0]
    assert not closed.connector.warnings()
