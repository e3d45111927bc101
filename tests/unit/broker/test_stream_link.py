"""The connection of the trace harms nothing, whatever becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.broker import links
from bridge.broker.connection import Connection
from bridge.broker.stream_link import StreamLink
from bridge.errors import BrokerUnavailable, NoVirtualHost
from tests.support.virtual_time import virtually


@virtually
async def test_a_refused_connection_is_tried_again_and_ends_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries = 0

    @asynccontextmanager
    async def refused(url: object, name: str) -> AsyncIterator[Connection]:
        nonlocal tries
        tries += 1
        raise NoVirtualHost("connection refused: the limit of connections is reached")
        yield

    monkeypatch.setattr(links, "connect", refused)
    link = StreamLink("amqp://localhost/", "test trace")
    running = asyncio.ensure_future(link.run())
    await asyncio.sleep(60)
    assert not running.done()
    assert tries > 3
    with pytest.raises(BrokerUnavailable, match="the limit of connections is reached"):
        link.opened()
    running.cancel()
