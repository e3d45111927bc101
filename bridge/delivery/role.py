"""The deliver role: one consumer and one dispatcher per channel, one lane per recipient."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bridge.broker.queues import Queues
from bridge.broker.relay import RelaySender
from bridge.connectors.registry import Channel
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.http.client import HttpClient
from bridge.messages import Reply
from bridge.node import Node
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from bridge.settings.files import BrokerSettings

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
    """Deliver the replies of every channel that has reply queues, until a signal.

    `concurrency` is the number of calls at a time per channel, `prefetch` the number of unsettled
    replies per queue. `grace` and `retry_for` (the age at which a failing reply is dead-lettered)
    are in seconds.

    Raises:
        TopologyError: the broker and the settings disagree.
    """
    delivering = [channel for channel in channels.values() if channel.has_reply_queues]
    if not delivering:
        log.warning("nothing to deliver: every channel answers in its HTTP response")
    node = Node("deliver", broker, broker.topology_of(delivering))
    policy = RetryPolicy(max_age=retry_for)
    async with HttpClient() as http:
        for channel in delivering:
            if channel.has_sockets:
                sender = RelaySender(node.publisher, node.topology, channel.name)
                channel.connector.sender = sender
            processor = _processor(node.queues, channel, http, concurrency, grace, policy)
            node.consume(node.topology.reply_queues(channel.name), processor, prefetch)
        await node.serve(lambda: node.drain(grace))


def _processor(
    queues: Queues,
    channel: Channel,
    http: HttpClient,
    concurrency: int,
    grace: float,
    policy: RetryPolicy,
) -> Processor[Reply]:
    breaker = CircuitBreaker(channel.name)
    dispatcher = Dispatcher(channel.connector, http, breaker, channel.rate_limit)
    return Processor(
        Reply,
        dispatcher.deliver,
        queues,
        concurrency=concurrency,
        clean_up=grace,
        policy=policy,
        gate=breaker,
        channel=channel.name,
    )
