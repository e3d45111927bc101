"""RabbitMQ carries out every ack that a consumer sends right before its channel closes.

A quorum queue keeps back acks while 32 commands are under way, and drops them with the channel. So
a worker or `deliver` that stops under load would have its last messages run once more.
"""

from __future__ import annotations

import asyncio

from bridge.broker.channels import UNDER_WAY, ConsumerChannel
from bridge.broker.connection import connect
from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.messages import Delivery
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually

MESSAGES = 1000


async def _consume(channel: ConsumerChannel, queue: str, number: int) -> list[Delivery]:
    received: list[Delivery] = []
    await channel.consume(queue, received.append, priority=7)
    await eventually(lambda: len(received) >= number)
    return received


async def test_acks_right_before_a_channel_closes_are_carried_out(
    broker: Broker, namespace: str
) -> None:
    topology = Topology(namespace, inbound_partitions=1)
    where = topology.inbound_exchange, topology.inbound_key("c")
    (queue,) = topology.inbound_queues()
    publisher = Publisher(broker.url, "test", topology)
    async with up(publisher), connect(broker.url, "test") as connection:

        async def publish(name: str) -> None:
            await publisher.publish(*where, b"{}", kind="test", message_id=name)

        await asyncio.gather(*(publish(str(number)) for number in range(MESSAGES)))
        channel = await connection.consumer_channel(prefetch=MESSAGES)
        kept, *settled = await _consume(channel, queue.name, MESSAGES)
        await asyncio.gather(*(delivery.ack() for delivery in settled))
        await channel.close()

        await publish("next")
        channel = await connection.consumer_channel(prefetch=MESSAGES)
        left = await _consume(channel, queue.name, 2)
        assert [delivery.message_id for delivery in left] == [kept.message_id, "next"]
        await channel.close()


async def test_acks_of_a_small_window_are_carried_out_without_a_wait(
    broker: Broker, namespace: str
) -> None:
    """With fewer unacked messages than commands that may be under way, nothing is kept back."""
    topology = Topology(namespace, inbound_partitions=1)
    where = topology.inbound_exchange, topology.inbound_key("c")
    (queue,) = topology.inbound_queues()
    publisher = Publisher(broker.url, "test", topology)
    acked: list[str | None] = []
    repeated: list[str | None] = []
    async with up(publisher), connect(broker.url, "test") as connection:

        async def publish(name: str) -> None:
            await publisher.publish(*where, b"{}", kind="test", message_id=name)

        await asyncio.gather(*(publish(str(number)) for number in range(MESSAGES)))
        while len(set(acked)) < MESSAGES:
            channel = await connection.consumer_channel(prefetch=UNDER_WAY - 1)
            window = await _consume(channel, queue.name, min(UNDER_WAY - 1, MESSAGES - len(acked)))
            repeated += [it.message_id for it in window if it.message_id in acked]
            for _ in range(3):
                acking, window[:] = list(window), []
                acked += [delivery.message_id for delivery in acking]
                await asyncio.gather(*(delivery.ack() for delivery in acking))
                await asyncio.sleep(0)
            await channel.close()
    assert not repeated
