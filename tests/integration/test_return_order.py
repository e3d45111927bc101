"""The order in which RabbitMQ delivers messages that were returned to their queue.

The simulator's model does the same (`tests/simulation/test_model.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.broker.channels import ConsumerChannel
from bridge.broker.connection import Connection, connect
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.messages import Delivery
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually

NUMBER = 4


class Bench:
    """A queue with some messages, and its consumers."""

    def __init__(self, connection: Connection, queue: str) -> None:
        self.queue = queue
        self._connection = connection

    async def consume(self, priority: int, received: list[Delivery]) -> ConsumerChannel:
        channel = await self._connection.consumer_channel(NUMBER)
        await channel.consume(self.queue, received.append, priority=priority)
        return channel

    async def all_but_one_wait(self) -> bool:
        depths = await self._connection.depths([self.queue])
        return depths[self.queue].ready == NUMBER - 1


@pytest.fixture
async def bench(broker: Broker, namespace: str) -> AsyncIterator[Bench]:
    topology = Topology(namespace, inbound_partitions=1)
    (queue,) = topology.inbound_queues()
    publisher = Publisher(broker.url, "test", topology)
    async with up(publisher), connect(broker.url, "test") as connection:
        where = topology.inbound_exchange, topology.inbound_key("c")
        for number in range(NUMBER):
            await publisher.publish(*where, b"{}", kind="test", message_id=str(number))
        yield Bench(connection, queue.name)


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
    await channel.consume_again(bench.queue)
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
    await channel.consume_again(bench.queue)
    await eventually(lambda: ids(received) == "01230123")
    await channel.close()
