"""The order in which RabbitMQ delivers messages that were returned to their queue.

The simulator's model does the same (`tests/simulation/test_model.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.overflow import Window
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Depth, Topology
from bridge.messages import INBOUND, Delivery
from bridge.processing.lanes import Lanes
from bridge.processing.returns import Returns
from bridge.processing.takeover import Takeovers
from bridge.processing.windows import Partition
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually

NUMBER = 4


class Bench:
    """A queue with some messages, and its consumers."""

    def __init__(self, connection: Connection, topology: Topology) -> None:
        (queue,) = topology.inbound_queues()
        self.queue = queue.name
        self.topology = topology
        self.connection = connection

    async def consume(self, priority: int, received: list[Delivery]) -> ConsumerChannel:
        channel = await self.connection.consumer_channel(NUMBER)
        await channel.consume(self.queue, received.append, priority=priority)
        return channel

    async def all_but_one_wait(self) -> bool:
        depths = await self.connection.depths([self.queue])
        return depths[self.queue].ready == NUMBER - 1


@pytest.fixture
async def bench(broker: Broker, namespace: str) -> AsyncIterator[Bench]:
    topology = Topology(namespace, inbound_partitions=1)
    publisher = Publisher(broker.url, "test", topology)
    async with up(publisher), connect(broker.url, "test") as connection:
        where = topology.inbound_exchange, topology.inbound_key("c")
        for number in range(NUMBER):
            await publisher.publish(*where, b"{}", kind="test", message_id=str(number))
        yield Bench(connection, topology)


def ids(received: list[Delivery]) -> str:
    return "".join(delivery.message_id or "?" for delivery in received)


async def test_a_message_that_came_back_returns_behind_those_that_were_held_meanwhile(
    bench: Bench,
) -> None:
    """So messages must not come back one by one while the others are returned."""
    received: list[Delivery] = []
    channel = await bench.consume(1, received)
    await eventually(lambda: ids(received) == "0123")
    await received[0].requeue()
    await eventually(lambda: ids(received) == "01230")
    await channel.close()
    following: list[Delivery] = []
    other = await bench.consume(1, following)
    await eventually(lambda: ids(following) == "1230")
    await other.close()


async def test_messages_that_are_held_back_come_back_together_and_in_order(bench: Bench) -> None:
    received: list[Delivery] = []
    channel = await bench.consume(1, received)
    await eventually(lambda: ids(received) == "0123")
    await channel.hold_back(bench.queue)
    for delivery in received[:-1]:
        await delivery.requeue()
    # Another process begins to wait for the queue, between two returns.
    following: list[Delivery] = []
    other = await bench.consume(2, following)
    await eventually(bench.all_but_one_wait)
    assert ids(received) == "0123"
    await received[-1].requeue()
    await channel.activate(bench.queue)
    await eventually(lambda: ids(following) == "0123")
    assert ids(received) == "0123"
    for one in (channel, other):
        await one.close()


async def test_a_process_that_no_other_one_follows_gets_back_what_it_held_back(
    bench: Bench,
) -> None:
    received: list[Delivery] = []
    channel = await bench.consume(1, received)
    await eventually(lambda: ids(received) == "0123")
    await channel.hold_back(bench.queue)
    for delivery in list(received):
        await delivery.requeue()
    await channel.activate(bench.queue)
    await eventually(lambda: ids(received) == "01230123")
    await channel.close()


async def test_a_queue_with_an_active_consumer_is_not_taken_from_it(bench: Bench) -> None:
    received: list[Delivery] = []
    channel = await bench.consume(1, received)
    await eventually(lambda: ids(received) == "0123")
    following: list[Delivery] = []
    other = await bench.consume(1, following)
    await channel.activate(bench.queue)
    await received[0].requeue()
    await eventually(lambda: ids(received) == "01230")
    assert not following
    for one in (channel, other):
        await one.close()


class HastyWindow(Window):
    """Its first look comes before the broker has carried out the returns."""

    looks = 0

    async def depth(self, partition: str) -> Depth | None:
        self.looks += 1
        return Depth(0, 1) if self.looks == 1 else await super().depth(partition)


async def insist(call: Callable[[], Awaitable[Any]], what: str) -> Any:
    return await call()


async def test_a_look_that_comes_before_the_returns_leaves_no_queue_without_a_consumer(
    bench: Bench,
) -> None:
    received: list[Delivery] = []
    channel = await bench.consume(1, received)
    await eventually(lambda: ids(received) == "0123")
    following: list[Delivery] = []
    other = await bench.consume(2, following)
    for delivery in received:
        await delivery.requeue()
    lanes: Lanes[Any] = Lanes(lambda item: asyncio.sleep(0))
    window = HastyWindow(bench.connection, channel, bench.topology, INBOUND, NUMBER)
    windows: Any = defaultdict(Partition)
    takeovers = Takeovers(windows, Returns(), window, insist, lanes)
    await takeovers.stand_by(received)
    await eventually(lambda: ids(following) == "0123")
    assert await lanes.drain(grace=10)
    for one in (channel, other):
        await one.close()
