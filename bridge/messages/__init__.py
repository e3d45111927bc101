"""What travels on the queues. Plain data: no AMQP, no I/O."""

from bridge.messages.handler import Handler, OutputChannel
from bridge.messages.wire import (
    SCHEMA_VERSION,
    TYPES,
    Delivery,
    InboundMessage,
    M,
    Message,
    Reply,
    ReplyKind,
    ReplyTo,
    TurnEnd,
    decode,
    encode,
    trace_id,
)

__all__ = [
    "SCHEMA_VERSION",
    "TYPES",
    "Delivery",
    "Handler",
    "InboundMessage",
    "M",
    "Message",
    "OutputChannel",
    "Reply",
    "ReplyKind",
    "ReplyTo",
    "TurnEnd",
    "decode",
    "encode",
    "trace_id",
]
