"""Where a webhook puts its messages: published and confirmed before the provider is answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from msgspec.structs import replace

from bridge.broker.queues import Queues
from bridge.connectors.base import Connector
from bridge.connectors.toolkit.ids import check_message
from bridge.connectors.turns import policy_of
from bridge.messages import InboundMessage
from bridge.telemetry import logs, metrics, trace
from bridge.webhook.collect import CollectedReplies, ReplyCollector

log = logging.getLogger(__name__)


class QueueInbox:
    """The queue, as connectors see it; implements `bridge.Inbox`."""

    def __init__(
        self,
        queues: Queues,
        collector: ReplyCollector,
        connectors: Mapping[str, Connector] | None = None,
    ) -> None:
        """`connectors`, by channel, know the prefixes of conversations."""
        self._queues = queues
        self._collector = collector
        self._connectors = connectors or {}

    async def enqueue(self, message: InboundMessage) -> None:
        """Publish a message; return once the broker has confirmed it.

        Raises:
            RequestRejected: 400, an id is too long.
            BrokerError: not confirmed, so the sender must be told to send it again.
        """
        check_message(message)
        connector = self._connectors.get(message.channel)
        if connector is not None:
            if connector.conversation_prefix:
                conversation = f"{connector.conversation_prefix}{message.sender_id}"
                message = replace(message, sender_id=conversation)
            if connector.turns is not None:
                message = replace(message, turns=policy_of(message, connector))
        accepted = trace.accepted(message)
        try:
            if trace.has_spans():
                with trace.enqueuing(message) as carrying:
                    await self._queues.put_inbound(carrying)
                    confirmed = _observed(message)
            else:
                await self._queues.put_inbound(message)
                confirmed = _observed(message)
        except Exception as error:
            trace.refused(message, accepted, error)
            raise
        trace.confirmed(message, accepted, confirmed)
        logs.event(log, "enqueued")

    def collect(self, message: InboundMessage, timeout: float) -> CollectedReplies:
        """Return the replies of a turn, for at most `timeout` seconds; await `enqueued` first."""
        connector = self._connectors.get(message.channel)
        return CollectedReplies(message, self, self._collector, timeout, connector)


def _observed(message: InboundMessage) -> float:
    """Observe how long a message took until now, when it is confirmed. Return the Unix time."""
    now, received = time.time(), message.received_at
    metrics.acknowledgement.of(message.channel).observe(now - received if now > received else 0.0)
    return now if now > received else received
