"""Puts a dead-lettered message back on the queue from which it came."""

from __future__ import annotations

from bridge.broker.confirms import ConfirmChannel
from bridge.broker.properties import trace_headers
from bridge.broker.publisher import CONFIRM_TIMEOUT
from bridge.broker.topology import Topology
from bridge.messages import TYPES, InboundMessage, Reply


async def put_back(
    channel: ConfirmChannel,
    topology: Topology,
    message: InboundMessage | Reply,
    body: bytes,
    *,
    separate: bool = True,
) -> None:
    """Publish a dead-lettered message to where it belongs; return once it is confirmed.

    `separate`: see `Topology.address`.

    Raises:
        BrokerError: see `ConfirmChannel.publish`.
    """
    exchange, key = topology.address(message, separate=separate)
    await channel.publish(
        exchange,
        key,
        body,
        kind=TYPES[type(message)],
        message_id=message.id,
        headers=trace_headers(message),
        timeout=CONFIRM_TIMEOUT,
    )
