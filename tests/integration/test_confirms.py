"""A confirm that does not come in time, and publishes that need none, on a real RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.broker import publisher as publisher_module
from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path import confirm_channel
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Queue, Topology
from bridge.errors import BrokerUnavailable, TopologyError
from bridge.processing.spilling import COPIES
from bridge.telemetry.reports import KEY
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually


async def test_a_publisher_that_misses_a_confirm_goes_on_with_another_channel(
    broker: Broker,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirm_channel, "SECOND_LOOK", 0.0)
    topology = Topology(namespace, inbound_partitions=1)
    publisher = Publisher(broker.url, "test", topology, confirm_timeout=1.0)
    where = topology.inbound_exchange, topology.inbound_key("c")
    async with up(publisher):
        connection = publisher._connection
        assert connection is not None
        (first,) = connection.health.publishing
        with pytest.raises(BrokerUnavailable) as missed:
            await publisher.publish(*where, b"{}", kind="test", message_id="1", timeout=0.0)
        assert missed.value.unconfirmed
        await eventually(lambda: "using another channel" in caplog.text)
        await publisher.publish(*where, b"{}", kind="test", message_id="2")
        # The first channel closes, and the connection stays.
        await eventually(lambda: first not in connection.health.publishing)
        await publisher.publish(*where, b"{}", kind="test", message_id="3")
        assert publisher._connection is connection


async def test_a_connection_that_returns_publishes_before_the_topology_is_checked(
    broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology = Topology(namespace, inbound_partitions=1)
    where = topology.inbound_exchange, topology.inbound_key("c")
    looks: list[bool] = []
    released = asyncio.Event()

    async def held_back(connection: Connection, topology: Topology, *, known: bool) -> bool:
        looks.append(known)
        if known:
            await released.wait()
            raise TopologyError("resized")
        return await ensure_topology(connection, topology, known=known)

    monkeypatch.setattr(publisher_module, "ensure_topology", held_back)
    publisher = Publisher(broker.url, "test", topology)

    async def lose_the_connection() -> None:
        assert publisher._connection is not None
        lost = publisher._connection
        lost.health.close(None, BrokerUnavailable("cut"))
        await eventually(lambda: publisher._connection is not lost)

    async with up(publisher):
        await lose_the_connection()
        await eventually(lambda: len(looks) == 2)
        await publisher.publish(*where, b"{}", kind="test", message_id="1")
        # Once the topology was found to be another one, it is checked first.
        released.set()
        await eventually(lambda: not publisher.ready.is_set())
        await eventually(lambda: len(looks) == 4)
        assert not publisher.ready.is_set()
        assert publisher.problem == "resized"
    assert looks == [False, True, True, True]


async def test_reports_need_no_confirm_and_survive_a_missing_exchange(
    broker: Broker, namespace: str
) -> None:
    topology = Topology(namespace, 2, 2, ["callback"])
    publisher = Publisher(broker.url, "test", topology)
    received: list[bytes] = []

    async def listen(connection: Connection) -> Any:
        channel = await connection.consumer_channel(prefetch=0)
        await channel.consume_private(
            lambda delivery: received.append(delivery.body), topology.reports_exchange, KEY
        )
        return channel

    def sending(body: bytes) -> Callable[[], Awaitable[bool]]:
        async def arrived() -> bool:
            try:
                await publisher.unconfirmed.publish(topology.reports_exchange, KEY, body)
            except Exception:
                return False
            return body in received

        return arrived

    async with up(publisher), connect(broker.url, "monitor") as connection:
        channel = await listen(connection)
        await eventually(sending(b"first"))
        await channel.close()
        await connection.delete(exchange=topology.reports_exchange)

        async def declared_again() -> bool:
            await sending(b"lost")()
            return await connection.has_exchange(topology.reports_exchange)

        await eventually(declared_again)
        channel = await listen(connection)
        await eventually(sending(b"second"))
        assert publisher.ready.is_set()
        await channel.close()


async def test_an_overflow_queue_that_does_not_answer_delays_no_other_message(
    own_broker: Broker, namespace: str
) -> None:
    """RabbitMQ 4.0 starts a queue that it created just before it was killed as one that never
    answers. With many unconfirmed messages for it, RabbitMQ stops to read from the connection."""
    topology = Topology(namespace, inbound_partitions=2, channels=())
    silent, other, *_ = topology.inbound_queues()
    publisher = Publisher(own_broker.url, "test", topology)

    async def publish(to: Queue, number: int) -> None:
        await publisher.publish(
            to.exchange, to.routing_key, b"{}", kind="test", message_id=f"{number}"
        )

    async with up(publisher):
        await publish(silent, 0)
        await asyncio.to_thread(own_broker.suspend_queue, silent.name)
        copies = [
            asyncio.ensure_future(publish(silent, n)) for n in range(COPIES + 1)
        ]  # and a mark
        await asyncio.gather(*(publish(other, n) for n in range(1000)))
        assert not any(copy.done() for copy in copies)
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
