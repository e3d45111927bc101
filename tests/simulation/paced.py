"""What a simulated `deliver` process has if its channel is rate-limited: all of it is real."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bridge.broker.topology import Topology, partition_of
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.pacing import ChannelPace
from bridge.delivery.recipients import Recipients, unlimited
from bridge.delivery.role import _held
from bridge.processing.processor import Processor
from tests.simulation.network import URL
from tests.simulation.plan import Pace

if TYPE_CHECKING:
    from tests.simulation.node import Node


def recipients(pace: Pace | None, topology: Topology, channel: str) -> Recipients:
    """Return what paces the calls to each recipient."""
    if pace is None or not pace.each:
        return unlimited()
    limits = pace.each
    return Recipients(
        channel,
        lambda reply: limits,
        lambda reply: reply.recipient_id,
        lambda reply: partition_of(reply.recipient_id, topology.reply_partitions),
    )


def share_limit(
    node: Node, pace: Pace, dispatcher: Dispatcher, processor: Processor[Any], channel: str
) -> None:
    """Share the limit of all calls with the other processes, as `delivery.role` does."""
    topology = node.world.topology
    partitions = [queue.name for queue in topology.reply_queues(channel)]
    bridge_node: Any = SimpleNamespace(
        name=node.process.name,
        url=URL,
        topology=topology,
        publisher=node.publisher,
        add=node.further.append,
    )
    held = _held(processor, partitions)
    node.pace = ChannelPace(bridge_node, channel, pace.total, held)
    dispatcher.limit(node.pace.grants)
