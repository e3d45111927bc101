"""What travels on the queues. Plain data: no AMQP, no I/O."""

from bridge.messages.dead_letter import DeadLetter
from bridge.messages.delivery import REPEATED, Delivery
from bridge.messages.flow import FLOWS, INBOUND, REPLIES, Flow
from bridge.messages.handler import Handler, OutputChannel
from bridge.messages.priority import HIGH, LOW, NORMAL, PRIORITIES, Priority
from bridge.messages.recent_ids import RecentIds
from bridge.messages.wire import (
    MESSAGE_OF,
    SCHEMA_VERSION,
    TYPES,
    InboundMessage,
    M,
    Message,
    Reply,
    ReplyKind,
    ReplyTo,
    TurnEnd,
    as_redelivered,
    decode,
    encode,
    trace_id,
)

__all__ = [
    "FLOWS",
    "HIGH",
    "INBOUND",
    "LOW",
    "MESSAGE_OF",
    "NORMAL",
    "PRIORITIES",
    "REPEATED",
    "REPLIES",
    "SCHEMA_VERSION",
    "TYPES",
    "DeadLetter",
    "Delivery",
    "Flow",
    "Handler",
    "InboundMessage",
    "M",
    "Message",
    "OutputChannel",
    "Priority",
    "RecentIds",
    "Reply",
    "ReplyKind",
    "ReplyTo",
    "TurnEnd",
    "as_redelivered",
    "decode",
    "encode",
    "trace_id",
]
