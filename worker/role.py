"""The worker role: takes inbound messages, one lane a conversation, and runs their turns."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.broker.links import Consumer, Publisher
from bridge.broker.queues import Queues
from bridge.broker.topology import consumer_priority
from bridge.messages import Handler, InboundMessage
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from bridge.runtime.role import process_name, serve
from bridge.settings.files import BrokerSettings
from bridge.telemetry.reports import Reporter
from worker.handler import Turns, conversation_of
from worker.output_channel import QueueOutput

log = logging.getLogger(__name__)

MakeOutput = Callable[[InboundMessage, Queues], QueueOutput]


async def work(
    broker: BrokerSettings,
    handler: Handler,
    make_output: MakeOutput = QueueOutput,
    *,
    concurrency: int,
    prefetch: int,
    grace: float,
    retry_for: float = RetryPolicy.max_age,
) -> None:
    """Run a turn for every inbound message of this worker's partitions, until a signal comes.

    `concurrency` is the number of conversations at a time, `prefetch` counts per partition,
    `grace` is in seconds; `retry_for` is the number of seconds after which a failing turn is set
    aside.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    publisher, consumer, reporter = services(
        broker, handler, make_output, concurrency, prefetch, RetryPolicy(max_age=retry_for)
    )

    async def drain() -> None:
        if not await consumer.drain(grace):
            log.warning("turns still ran after %g s: their messages come again", grace)

    await serve([publisher, consumer, reporter], drain)


def services(
    broker: BrokerSettings,
    handler: Handler,
    make_output: MakeOutput,
    concurrency: int,
    prefetch: int,
    policy: RetryPolicy | None = None,
) -> tuple[Publisher, Consumer, Reporter]:
    """Return a worker's two connections, for replies and for its partitions, and its reporter."""
    topology = broker.topology()
    name = process_name("worker")
    publisher = Publisher(broker.url, name, topology)
    queues = Queues(publisher, topology)
    turns = Turns(handler, queues, make_output)
    processor: Processor[InboundMessage] = Processor(
        InboundMessage,
        "inbound",
        turns.run,
        conversation_of,
        queues,
        concurrency=concurrency,
        policy=policy,
        finished=turns.finished,
    )
    partitions = {q.name: consumer_priority(name, q.name) for q in topology.inbound_queues()}
    return (
        publisher,
        Consumer(broker.url, name, topology, partitions, prefetch, processor.open),
        Reporter(name, publisher, topology.reports_exchange, [processor.report]),
    )
