"""The deliver role: one consumer and one dispatcher a channel, one lane a recipient."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from bridge.broker.links import Consumer, Publisher
from bridge.broker.queues import Queues
from bridge.broker.relay import RelaySender
from bridge.broker.topology import Topology, consumer_priority
from bridge.connectors.registry import Channel
from bridge.delivery.breaker import Breaker
from bridge.delivery.dispatcher import Dispatcher, lane_of
from bridge.http.client import HttpClient
from bridge.messages import Reply
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from bridge.runtime.role import process_name, serve
from bridge.settings.files import BrokerSettings
from bridge.telemetry.reports import Reporter

log = logging.getLogger(__name__)


async def deliver(
    broker: BrokerSettings,
    channels: Mapping[str, Channel],
    *,
    concurrency: int,
    prefetch: int,
    grace: float,
    retry_for: float = RetryPolicy.max_age,
) -> None:
    """Deliver the replies of every channel that has reply queues, until a signal comes.

    `concurrency` and `prefetch` count per channel and per queue; `grace` is in seconds;
    `retry_for` is the number of seconds after which a failing reply is set aside.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    delivering = [c for c in channels.values() if c.has_reply_queues]
    topology = broker.topology_of(delivering)
    name = process_name("deliver")
    publisher = Publisher(broker.url, name, topology)
    queues = Queues(publisher, topology)
    for channel in delivering:
        if channel.has_sockets:
            channel.connector.sender = RelaySender(publisher, topology, channel.name)
    policy = RetryPolicy(max_age=retry_for)
    if not delivering:
        log.warning("nothing to deliver: every channel answers in its HTTP response")
    async with HttpClient() as http:
        processors = [
            _processor(queues, channel, http, concurrency, policy) for channel in delivering
        ]
        consumers = [_consumer(broker, topology, name, prefetch, p) for p in processors]
        reporter = Reporter(
            name, publisher, topology.reports_exchange, [p.report for p in processors]
        )

        async def drain() -> None:
            await asyncio.gather(*(consumer.drain(grace) for consumer in consumers))

        await serve([publisher, *consumers, reporter], drain)


def _processor(
    queues: Queues, channel: Channel, http: HttpClient, concurrency: int, policy: RetryPolicy
) -> Processor[Reply]:
    breaker = Breaker(channel.name)
    dispatcher = Dispatcher(channel.connector, http, breaker, channel.rate_limit)
    return Processor(
        Reply,
        "replies",
        dispatcher.deliver,
        lane_of,
        queues,
        concurrency=concurrency,
        policy=policy,
        gate=breaker,
        channel=channel.name,
    )


def _consumer(
    broker: BrokerSettings,
    topology: Topology,
    name: str,
    prefetch: int,
    processor: Processor[Reply],
) -> Consumer:
    channel = processor.channel
    partitions = {q.name: consumer_priority(name, q.name) for q in topology.reply_queues(channel)}
    return Consumer(
        broker.url,
        f"{name} {channel}",
        topology,
        partitions,
        prefetch,
        processor.open,
        flow="replies",
        channel=channel,
    )
