"""What links do and say while RabbitMQ refuses them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bridge.broker import links
from bridge.broker.connection import Connection
from bridge.broker.publisher import Publisher
from bridge.broker.stream_link import StreamLink
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, NoVirtualHost
from tests.support.virtual_time import virtually


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the connections that were tried. Each is refused."""
    tries: list[str] = []

    @asynccontextmanager
    async def refused(url: object, name: str) -> AsyncIterator[Connection]:
        tries.append(name)
        raise NoVirtualHost("connection refused: the limit of connections is reached")
        yield

    monkeypatch.setattr(links, "connect", refused)
    monkeypatch.setattr(links, "_logged", {})
    return tries


@virtually
async def test_a_refused_trace_is_tried_again_and_ends_no_process(tries: list[str]) -> None:
    link = StreamLink("amqp://localhost/", "test trace")
    running = asyncio.ensure_future(link.run())
    await asyncio.sleep(60)
    assert not running.done()
    assert len(tries) > 3
    with pytest.raises(BrokerUnavailable, match="the limit of connections is reached"):
        link.opened()
    running.cancel()


@virtually
async def test_the_first_failure_is_no_warning_but_the_second_is(
    tries: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Processes that declare the same queues at the same moment may fail once."""
    caplog.set_level(logging.INFO)
    publisher = Publisher("amqp://localhost/", "test", Topology("bridge"))
    running = asyncio.ensure_future(publisher.run())
    await asyncio.sleep(60)
    running.cancel()
    levels = [record.levelname for record in caplog.records if "not connected" in record.message]
    assert levels[:3] == ["INFO", "WARNING", "WARNING"]


@virtually
async def test_several_links_with_one_problem_log_it_once_in_ten_seconds(
    tries: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    topology = Topology("bridge")
    several = [Publisher("amqp://localhost/", f"test {n}", topology) for n in range(8)]
    running = [asyncio.ensure_future(link.run()) for link in several]
    await asyncio.sleep(60)
    for task in running:
        task.cancel()
    said = [record.levelname for record in caplog.records if "not connected" in record.message]
    assert len(tries) > 50
    assert 3 <= said.count("WARNING") <= 6
    assert len({record.message.partition(";")[0] for record in caplog.records}) == 1


@virtually
async def test_a_problem_is_told_again_once_a_link_was_up(tries: list[str]) -> None:
    assert links.is_news(logging.WARNING, "refused")
    assert not links.is_news(logging.WARNING, "refused")
    assert links.is_news(logging.WARNING, "another")
    link = StreamLink("amqp://localhost/", "test trace")
    link._is_ready("testing")
    assert links.is_news(logging.WARNING, "refused")
