"""Runs a connector between a real HTTP client and a fake service, without a broker.

The app is that of the webhook role, and the client that of deliver. Only the queue is
replaced, by a list.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web
from sanic import Sanic
from sanic.touchup import TouchUp

from bridge.broker.topology import Topology
from bridge.connectors.registry import Channel, load_channels
from bridge.connectors.toolkit.refreshed import FAILURE_LASTS
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.http.client import HttpClient
from bridge.http.protocol import Connection
from bridge.messages import InboundMessage, Reply, decode
from bridge.webhook.inbox import QueueInbox
from bridge.webhook.server import create_app
from tests.integration.connectors.tables import Post, Sent, Table
from tests.support import logged
from tests.support.fakes import FakePublisher, a_reply
from tests.support.service import Call, FakeService


class Inbox(QueueInbox):
    """The real inbox, except that the test provides the replies of a turn."""

    def __init__(self, publisher: FakePublisher, channel: str) -> None:
        super().__init__(publisher.queues(Topology(channels=[channel])), None)  # type: ignore[arg-type]
        self.replies: Sequence[Mapping[str, Any]] = ()

    def collect(self, message: InboundMessage, timeout: float) -> Any:
        return Turn(self, message)


class Turn:
    def __init__(self, inbox: Inbox, message: InboundMessage) -> None:
        self._inbox = inbox
        self._message = message

    async def enqueued(self) -> None:
        await self._inbox.enqueue(self._message)

    async def __aiter__(self) -> AsyncIterator[Reply]:
        for n, fields in enumerate(self._inbox.replies):
            yield a_reply(
                f"{self._message.id}:{n}", **{"recipient_id": self._message.sender_id, **fields}
            )


class Webhook:
    """The HTTP server of a webhook process, and the messages that it enqueued."""

    def __init__(self, table: Table, http: aiohttp.ClientSession) -> None:
        self.publisher = FakePublisher()
        self._table = table
        self._http = http
        self.base = ""
        self.connector: Any = None

    @property
    def messages(self) -> list[InboundMessage]:
        return [decode(entry.body, InboundMessage) for entry in self.publisher.published]

    def later(self, seconds: float = FAILURE_LASTS) -> None:
        """Set the connector's clock ahead, by default until a failed fetch is forgotten."""
        now = self.connector.now() + seconds
        self.connector.now = lambda: now

    async def post(self, request: Post) -> tuple[int, str, Mapping[str, str]]:
        """Send a request; return status, body and headers of the response."""
        url = f"{self.base}/webhooks/{self._table.channel}/{request.path}"
        for name in {"Authorization", *self._table.signed_by} - {"webhook-id"}:
            logged.note_secret(request.headers.get(name))
        async with self._http.request(
            request.method,
            url,
            data=request.body or None,
            headers=dict(request.headers),
            skip_auto_headers=["Content-Type", "User-Agent"],
        ) as response:
            return response.status, await response.text(), dict(response.headers)


def channel_of(table: Table, url: str, settings: Mapping[str, Any] | None = None) -> Channel:
    """Return the channel that the registry creates from the table's credentials."""
    section = table.section(url, settings)
    logged.note_secret([section, table.secrets])
    (channel,) = load_channels({table.channel: section}).values()
    if table.now is not None:
        now = table.now
        channel.connector.now = lambda: now  # type: ignore[method-assign]
    return channel


_compile_methods: Callable[[Any], None] = TouchUp.run
_is_compiled = False


def _compile_methods_once(app: Sanic[Any, Any]) -> None:
    """Let Sanic compile its own methods for the first app only, since the result is the same.

    They depend on an app's signal handlers, and no app here has any. For each of the thousand apps,
    it would take a tenth of a second of CPU time.
    """
    global _is_compiled
    if not _is_compiled:
        _compile_methods(app)
        _is_compiled = True


TouchUp.run = _compile_methods_once  # type: ignore[method-assign]


@asynccontextmanager
async def serving(app: Sanic[Any, Any]) -> AsyncIterator[str]:
    """Run an app on a free loopback port; yield its base URL."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server: Any = await app.create_server(
        sock=listening, protocol=Connection, access_log=False, return_asyncio_server=True
    )
    await server.startup()
    await server.before_start()
    await server.after_start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.before_stop()
        server.close()
        for connection in list(server.connections):
            connection.abort()
        await server.wait_closed()
        await server.after_stop()


@asynccontextmanager
async def a_webhook(
    table: Table,
    settings: Mapping[str, Any] | None = None,
    replies: Sequence[Mapping[str, Any]] = (),
    url: str = "",
) -> AsyncIterator[Webhook]:
    """Serve the table's channel; `settings` override its credentials, `url` is its service's URL.

    `replies` answer each message, if the channel is synchronous.
    """
    async with aiohttp.ClientSession() as http, asked(table, url) as url:
        channel = channel_of(table, url, settings)
        webhook = Webhook(table, http)
        webhook.connector = channel.connector
        inbox = Inbox(webhook.publisher, channel.name)
        inbox.replies = replies
        edge: Any = SimpleNamespace(inbox=inbox, problem=lambda: None)
        Sanic.test_mode = True
        async with serving(create_app(edge, {channel.name: channel})) as webhook.base:
            yield webhook


@asynccontextmanager
async def asked(table: Table, url: str) -> AsyncIterator[str]:
    """Serve the calls that the table's webhook makes; yield the service's URL."""
    if url or table.asked is None:
        yield url or "http://127.0.0.1:1/"
        return
    service = FakeService()
    service.answer = table.asked
    await service.start()
    try:
        yield service.url
    finally:
        await service.stop()


@asynccontextmanager
async def a_dispatcher(
    table: Table,
    service: FakeService,
    settings: Mapping[str, Any] | None = None,
    timeout: float = 30.0,
) -> AsyncIterator[Dispatcher]:
    """Yield the dispatcher for the table's channel; the service accepts every call."""
    service.answer = lambda call: web.json_response(table.accepts)
    channel = channel_of(table, service.url, settings)
    async with HttpClient(timeout) as http:
        yield Dispatcher(channel.connector, http, NoBreaker(channel.name))


class NoBreaker(CircuitBreaker):
    """Lets every call through, also after failures."""

    def may_call(self, recipient: Hashable) -> bool:
        return True


def expect_calls(calls: Sequence[Call], expected: Sequence[Sent]) -> None:
    """Assert that exactly these calls were made, in order."""
    assert [(c.method, c.path, c.body) for c in calls] == [
        (sent.method, sent.path, sent.body) for sent in expected
    ]
    for call, sent in zip(calls, expected, strict=True):
        assert {name: call.headers.get(name) for name in sent.headers} == dict(sent.headers)
        assert sent.query is None or call.query == sent.query


def never(event: asyncio.Event) -> Any:
    """Return a service's answer that is delayed until the event is set."""

    async def answer(_: Call) -> web.Response:
        await event.wait()
        return web.json_response({})

    return answer
