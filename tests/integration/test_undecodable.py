"""Messages whose AMQP properties are wrong: dead-lettered, and the partition goes on."""

from __future__ import annotations

import struct
from typing import Any

import aiormq
import pytest
from aiormq import spec

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.links import Consumer
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Topology, consumer_priority
from bridge.messages import INBOUND, InboundMessage, encode
from bridge.processing.processor import Processor
from tests.support.broker import Broker
from tests.support.fakes import an_inbound
from tests.support.links import up
from tests.support.waiting import eventually

CORRELATION_ID, TIMESTAMP, TYPE, HEADERS = 1 << 10, 1 << 6, 1 << 5, 1 << 13


class Raw(spec.Basic.Properties):
    """Properties as bytes, as a client in any language may send them."""

    raw = b""

    def marshal(self) -> bytes:
        return self.raw


def raw(flag: int, value: bytes) -> spec.Basic.Properties:
    properties = Raw()
    properties.raw = struct.pack(">H", flag) + value
    return properties


def table(name: bytes, kind: bytes, value: bytes) -> bytes:
    entry = bytes([len(name)]) + name + kind + value
    return struct.pack(">I", len(entry)) + entry


COUNT = b"x-delivery-count"
WRONG = {
    "a text as count": spec.Basic.Properties(headers={"x-delivery-count": "many"}),
    "a table as count": spec.Basic.Properties(headers={"x-delivery-count": {"a": 1}}),
    "a list as count": spec.Basic.Properties(headers={"x-delivery-count": [1]}),
    "a count that is not UTF-8": raw(HEADERS, table(COUNT, b"S", struct.pack(">I", 1) + b"\xff")),
    "a fraction as count": raw(HEADERS, table(COUNT, b"d", struct.pack(">d", 1.5))),
    "a time far away": raw(TIMESTAMP, struct.pack(">Q", 2**62)),
    "an id that is not UTF-8": raw(CORRELATION_ID, b"\x02\xff\xfe"),
    "a type that is not UTF-8": raw(TYPE, b"\x02\xff\xfe"),
}


async def test_wrong_properties_are_dead_lettered_and_the_partition_goes_on(
    broker: Broker, namespace: str, console: pytest.LogCaptureFixture
) -> None:
    topology = Topology(namespace, inbound_partitions=1, reply_partitions=1, channels=("callback",))
    (queue,) = topology.inbound_queues()
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    handled: list[str] = []

    async def handle(message: InboundMessage) -> None:
        handled.append(message.id)

    processor = Processor(InboundMessage, handle, queues, concurrency=4)
    priorities = {queue.name: consumer_priority("worker", queue.name)}
    consumer = Consumer(
        broker.url, "worker", topology, priorities, len(WRONG), processor.open, INBOUND
    )
    async with connect(broker.url, "setup") as connection:
        await ensure_topology(connection, topology)
        body = encode(an_inbound("wrong"))
        for properties in WRONG.values():
            await publish(broker.url, queue, body, properties)
        async with up(publisher, consumer):
            await queues.put_inbound(an_inbound("right"))
            await eventually(lambda: handled == ["right"])

            async def all_dead() -> bool:
                return await connection.ready_messages(f"{namespace}.dead.inbound") == len(WRONG)

            await eventually(all_dead)
            assert await connection.ready_messages(queue.name) == 0
    lines = [record for record in console.records if "dead-lettered" in record.message]
    assert {line.message for line in lines} == {"dead-lettered: undecodable (MessageError)"}
    assert len(lines) == len(WRONG)
    ours = [record for record in console.records if record.name.startswith("bridge")]
    assert not [record for record in ours if record.exc_info]


async def publish(url: Any, queue: Any, body: bytes, properties: spec.Basic.Properties) -> None:
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        await channel.basic_publish(
            body, exchange=queue.exchange, routing_key=queue.routing_key, properties=properties
        )
    finally:
        await connection.close()
