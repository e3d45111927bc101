"""Lists of URLs and names with several addresses; a message that is too large."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from bridge.broker.connection import connect
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, LoginRefused, MessageTooLarge
from bridge.runtime.role import close
from tests.support.broker import Broker, free_port
from tests.support.fakes import a_reply, an_inbound
from tests.support.waiting import eventually

PER_ADDRESS = 9.0
"""Seconds: one silent address takes 2.5, and 10 if it uses up the time of the others."""


@pytest.fixture
def topology(namespace: str) -> Topology:
    return Topology(namespace, inbound_partitions=2, reply_partitions=2, channels=("callback",))


@contextmanager
def silent(address: str, port: int) -> Iterator[None]:
    """Listen and never answer: like a firewall that drops packets."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, port))
        listening.listen()
        yield


@asynccontextmanager
async def up(publisher: Publisher) -> AsyncIterator[None]:
    running = asyncio.create_task(publisher.run())
    try:
        await eventually(publisher.ready.is_set)
        yield
    finally:
        await close([running])


async def test_nodes_that_are_down_or_silent_do_not_keep_it_from_connecting(
    broker: Broker,
) -> None:
    down, hanging = free_port(), free_port()
    urls = (
        f"amqp://guest:guest@127.0.0.1:{down}/",
        f"amqp://guest:guest@127.0.0.1:{hanging}/",
        broker.url,
    )
    with silent("127.0.0.1", hanging):
        for _ in range(3):  # the order is random
            began = time.monotonic()
            async with connect(urls, "test") as connection:
                assert connection.url == broker.url
            assert time.monotonic() - began < PER_ADDRESS


async def test_an_address_that_drops_packets_does_not_use_up_the_time_of_the_others(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
        if host != "broker.example":
            return await resolve(host, port, **options)
        silent_first = ("127.0.0.2", port), ("127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in silent_first]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("bridge.broker.addresses.random.shuffle", lambda targets: None)
    url = broker.url.replace("127.0.0.1", "broker.example")
    with silent("127.0.0.2", broker.port):
        began = time.monotonic()
        async with connect(url, "test") as connection:
            assert connection.url == url
        assert 2 < time.monotonic() - began < PER_ADDRESS


async def test_without_any_node_the_error_names_the_cause_and_no_password(broker: Broker) -> None:
    down = f"amqp://guest:secret@127.0.0.1:{free_port()}/"
    with pytest.raises(BrokerUnavailable, match="127.0.0.1") as raised:
        async with connect((down, down), "test"):
            pass
    assert "secret" not in str(raised.value)
    refused = broker.url.replace("guest:guest", "stranger:secret")
    with pytest.raises(LoginRefused):
        async with connect((refused, down), "test"):
            pass


async def test_a_message_that_is_too_large_is_refused_alone(
    broker: Broker, topology: Topology, console: pytest.LogCaptureFixture
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    huge = a_reply("huge:0", text="x" * (17 * 1024 * 1024))
    large = a_reply("large:0", text="x" * (2 * 1024 * 1024))
    async with up(publisher):
        refused = asyncio.create_task(until_confirmed(lambda: queues.put_reply(huge), "reply"))
        number = 0
        while not refused.done() or number < 20:
            await queues.put_inbound(an_inbound(f"e{number}"))
            number += 1
        with pytest.raises(MessageTooLarge, match="17825"):
            await refused
        await queues.put_reply(large)
    assert not any("not connected" in line for line in console.messages)
