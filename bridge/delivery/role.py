"""The deliver role: one consumer and one dispatcher per channel, one lane per recipient."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from bridge.broker.relay import RelaySender
from bridge.broker.seen import Seen
from bridge.broker.topology import partition_of
from bridge.connectors.registry import Channel
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.pacing import ChannelPace
from bridge.delivery.receipts import Receipts
from bridge.delivery.recipients import Recipients
from bridge.http.client import HttpClient
from bridge.messages import Reply
from bridge.node import Node
from bridge.processing.processor import Processor
from bridge.runtime.garbage import collect_seldom
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
        log.info("nothing to deliver: every channel answers in its HTTP response")
    node = Node("deliver", broker, broker.topology_of(delivering))
    policy = RetryPolicy(max_age=retry_for)
    dispatchers: list[Dispatcher] = []

    async def drain() -> None:
        for dispatcher in dispatchers:
            dispatcher.drain()
        await node.drain(grace)

    async with HttpClient() as http:
        for channel in delivering:
            if channel.has_sockets:
                channel.connector.sender = _sender(node, channel)
            dispatcher = Dispatcher(
                channel.connector, http, CircuitBreaker(channel.name), _recipients(node, channel)
            )
            dispatchers.append(dispatcher)
            if channel.receipts:
                dispatcher.notes = Receipts(node, channel).notes
            processor = _processor(node, dispatcher, channel.name, concurrency, grace, policy)
            partitions = node.topology.reply_queues(channel.name)
            node.consume(partitions, processor, prefetch)
            if channel.rate_limit:
                held = _held(processor, [queue.name for queue in partitions])
                pace = ChannelPace(node, channel.name, channel.rate_limit, held)
                dispatcher.limit(pace.grants)
        collect_seldom()
        await node.serve(drain)


def _sender(node: Node, channel: Channel) -> RelaySender:
    seen = None
    if channel.connector.awaits_clients:
        seen = Seen(node.url, node.name, node.topology, channel.name)
        node.add(seen)
    return RelaySender(node.publisher, node.topology, channel.name, seen)


def _recipients(node: Node, channel: Channel) -> Recipients:
    partitions = node.topology.reply_partitions
    return Recipients(
        channel.name,
        channel.recipient_limits if channel.limits_recipients else None,
        channel.connector.limited_recipient,
        lambda reply: partition_of(reply.recipient_id, partitions),
    )


def _processor(
    node: Node,
    dispatcher: Dispatcher,
    channel: str,
    concurrency: int,
    grace: float,
    policy: RetryPolicy,
) -> Processor[Reply]:
    return Processor(
        Reply,
        dispatcher.deliver,
        node.queues,
        concurrency=concurrency,
        clean_up=grace,
        policy=policy,
        gate=dispatcher.gate,
        pace=dispatcher.recipients,
        paced=lambda: dispatcher.paced,
        channel=channel,
    )


def _held(processor: Processor[Reply], partitions: Sequence[str]) -> Callable[[], int]:
    """Return a function that counts the partitions of which replies are in memory."""

    def count() -> int:
        generation = processor.generation
        held = generation.holdings.queues() if generation else {}
        return sum(partition in held for partition in partitions)

    return count
