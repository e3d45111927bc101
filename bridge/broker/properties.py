"""The AMQP properties of a delivery. Whatever they hold, the delivery reaches its consumer.

A property that pamqp cannot decode (a timestamp in the year 30000, a text that is not UTF-8) would
end the connection, again with each redelivery. Importing this module makes pamqp pass an empty set
of properties on instead, marked as undecodable.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from pamqp.base import BasicProperties

from bridge.broker.fast_path.consuming import Received
from bridge.messages import REPEATED, Delivery, InboundMessage, Reply
from bridge.messages.trace_context import MOST_TRACESTATE

UNDECODABLE = "x-bridge-undecodable"
LONGEST_CONTEXT = 256
"""Characters of a trace context; version 00 of the specification has 55."""
COUNT = "x-delivery-count"
"""Header of quorum queues: how often a message was returned to its queue."""

OFFSET = "x-stream-offset"
"""Header of streams: which message of the stream it is. The reader of one must know that."""
_OFFSET = re.compile(rb"\x0fx-stream-offsetl(.{8})", re.DOTALL)

_unmarshal = BasicProperties.unmarshal


def _unmarshal_or_mark(self: Any, flags: int, data: bytes) -> None:
    try:
        _unmarshal(self, flags, data)
    except Exception:
        for name in self.__slots__:
            setattr(self, name, "" if name == "cluster_id" else None)
        self.headers = {UNDECODABLE: True}
        offsets = _OFFSET.findall(data)
        if offsets:
            self.headers[OFFSET] = int.from_bytes(offsets[-1], "big")


BasicProperties.unmarshal = _unmarshal_or_mark  # type: ignore[method-assign]


def delivery_of(
    queue: str,
    received: Received,
    ack: Callable[[], Awaitable[None]],
    requeue: Callable[[], Awaitable[None]],
    is_current: Callable[[], bool],
) -> Delivery:
    """Return what was received as a delivery. Never raises; `malformed` says what is wrong."""
    properties, redelivered, count, malformed = received.properties, received.redelivered, 0, ""
    headers = properties.headers
    if not headers:
        headers = {}
    else:
        count = headers.get(COUNT) or 0
        redelivered = redelivered or REPEATED in headers
        if UNDECODABLE in headers:
            malformed = "the AMQP properties cannot be decoded"
        elif not isinstance(count, int):
            count, malformed = 0, f"the header {COUNT} is not a number"
    # In the order of its fields: names would take more time.
    return Delivery(
        queue,
        received.body,
        properties.message_type,
        properties.correlation_id,
        redelivered,
        count,
        ack,
        headers,
        False,
        properties.message_id,
        requeue,
        is_current,
        malformed,
    )


def trace_headers(message: InboundMessage | Reply) -> dict[str, str]:
    """Return the AMQP headers that carry the trace context of a message, unless it is too long."""
    if not message.traceparent or len(message.traceparent) > LONGEST_CONTEXT:
        return {}
    if not message.tracestate or len(message.tracestate) > MOST_TRACESTATE:
        return {"traceparent": message.traceparent}
    return {"traceparent": message.traceparent, "tracestate": message.tracestate}
