"""Messages that a broker user may publish, and whose effects AMQP cannot carry: all are settled."""

from __future__ import annotations

import pytest
from aiormq import spec
from msgspec.structs import replace

from bridge.broker.connection import connect
from bridge.broker.declare import ensure_topology
from bridge.broker.fast_path.tap import AMQP, LIBRARY
from bridge.broker.links import Consumer
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import Topology, consumer_priority
from bridge.messages import INBOUND, InboundMessage, ReplyTo, encode
from bridge.processing.processor import Processor
from tests.integration.test_undecodable import publish
from tests.support.broker import Broker
from tests.support.fakes import an_inbound
from tests.support.links import up
from tests.support.waiting import eventually
from worker.handler import Turns
from worker.output_channel import QueueOutput

HOSTILE = {
    "no name of a queue": an_inbound("1", reply_to=ReplyTo("q" * 300, "t")),
    "the same, in two bytes each": an_inbound("2", reply_to=ReplyTo("é" * 200, "t")),
    "no name of a channel": an_inbound("3", channel="c" * 300),
    "a long trace context": an_inbound("4", traceparent="0" * 200_000),
}


@pytest.mark.parametrize("how", ["fast", LIBRARY])
async def test_what_amqp_cannot_carry_is_dead_lettered_and_the_partition_goes_on(
    how: str, broker: Broker, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AMQP, how)
    topology = Topology(namespace, inbound_partitions=1, reply_partitions=1, channels=())
    (queue,) = topology.inbound_queues()
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    handled: list[str] = []

    async def handler(message: InboundMessage, output: QueueOutput) -> None:
        await output.send_text_message(message.sender_id, message.text)
        handled.append(message.id)

    turns = Turns(handler, queues, QueueOutput)  # type: ignore[arg-type]
    processor = Processor(InboundMessage, turns.run, queues, concurrency=4, finished=turns.finished)
    priorities = {queue.name: consumer_priority("worker", queue.name)}
    consumer = Consumer(
        broker.url, "worker", topology, priorities, len(HOSTILE), processor.open, INBOUND
    )
    delivering = Topology(namespace, 1, 1, channels=("callback",))
    async with connect(broker.url, "setup") as connection:
        await ensure_topology(connection, delivering)
        async with up(publisher):
            for number, message in enumerate(HOSTILE.values()):
                body = encode(replace(message, sender_id=f"user {number}"))
                await publish(
                    broker.url, queue, body, spec.Basic.Properties(message_type="inbound")
                )
            async with up(consumer):
                await queues.put_inbound(an_inbound("last", sender_id="eve"))
                await eventually(lambda: "last" in handled)
                await eventually(lambda: not processor.report().held)
        assert "4" in handled, "its trace context is not passed on"
        assert await connection.ready_messages(queue.name) == 0
        assert await connection.ready_messages(f"{namespace}.dead.inbound") == 3
