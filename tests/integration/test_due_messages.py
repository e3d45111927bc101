"""Messages that are due later, on a real RabbitMQ: none is lost, early, or run twice."""

from __future__ import annotations

import time
from typing import Any

from bridge.broker.connection import connect
from bridge.messages import REMINDER, Command, InboundMessage, commanding
from bridge.node import Node
from bridge.settings.files import BrokerSettings, Partitions
from tests.support.broker import Broker
from tests.support.fakes import an_inbound
from tests.support.waiting import eventually
from worker.output_channel import QueueOutput
from worker.role import worker_node


class Workers:
    """Workers of this process, which note what they run."""

    def __init__(self, broker: Broker, namespace: str) -> None:
        self.settings = BrokerSettings(broker.url, namespace, Partitions(4, 2))
        self.ran: list[tuple[str, float]] = []
        """Id, and for how many seconds it was due."""

    async def start(self) -> Node:
        node = worker_node(
            self.settings, self._run, QueueOutput, concurrency=None, prefetch=16, grace=5.0
        )
        failures: list[BaseException] = []
        node.start(failures.append)
        assert await node.ready(60), failures
        return node

    async def _run(self, message: InboundMessage, output: Any) -> None:
        assert message.due_at is not None
        self.ran.append((message.id, time.time() - message.due_at))


async def test_each_due_message_runs_once_although_the_workers_change(
    broker: Broker, namespace: str
) -> None:
    workers = Workers(broker, namespace)
    first = await workers.start()
    ids = [f"r{n}" for n in range(60)]
    now = time.time()
    for n, id in enumerate(ids):
        message = an_inbound(id, sender_id=f"user-{n % 7}")
        # Some are due already, the last ones in six seconds: after two or more delays.
        due = commanding(message, Command(REMINDER), due_at=now - 1 + n * 0.12)
        await first.queues.put_aside_until_due(due)
    await eventually(lambda: len(workers.ran) >= 15, "some run")
    await first.stop()
    assert len(workers.ran) < 60
    second, third = await workers.start(), await workers.start()
    await eventually(lambda: len({id for id, _ in workers.ran}) == 60, "all run")
    async with connect(broker.url, "test") as connection:
        names = [queue.name for queue in second.topology.queues()]

        async def is_empty() -> bool:
            return not any(depth.ready for depth in (await connection.depths(names)).values())

        await eventually(is_empty, "nothing is left")
    await second.stop()
    await third.stop()
    assert {id for id, _ in workers.ran} == set(ids)
    # On a busy machine, a stop may return one that has run. A worker with a tracker skips it.
    assert len(workers.ran) <= len(ids) + 2
    assert min(late for _, late in workers.ran) >= 0


async def test_a_resize_keeps_what_is_due_later(broker: Broker, namespace: str) -> None:
    """A delay must not remember the partition, whose number may change meanwhile."""
    workers = Workers(broker, namespace)
    node = await workers.start()
    due = commanding(an_inbound("r1"), Command(REMINDER), due_at=time.time() + 1.5)
    await node.queues.put_aside_until_due(due)
    await node.stop()
    async with connect(broker.url, "test") as connection:
        queues = [q for flow in node.topology.inbound_flows() for q in flow]
        for queue in queues:
            await connection.delete(queue=queue.name)
    workers.settings = BrokerSettings(broker.url, namespace, Partitions(2, 2))
    node = await workers.start()
    await eventually(lambda: [id for id, _ in workers.ran] == ["r1"], "it runs")
    await node.stop()
