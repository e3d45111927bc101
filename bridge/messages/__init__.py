"""What travels on the queues. Plain data: no AMQP, no I/O."""

from bridge.messages.command import REMINDER, Command
from bridge.messages.dead_letter import DeadLetter, cause_of
from bridge.messages.delivery import REPEATED, Delivery
from bridge.messages.flow import FLOWS, INBOUND, REPLIES, Flow
from bridge.messages.handler import Handler, OutputChannel
from bridge.messages.priority import HIGH, LOW, NORMAL, PRIORITIES, Priority
from bridge.messages.recent_ids import RecentIds
from bridge.messages.trace_context import trace_context, trace_id
from bridge.messages.turn_policy import Part, TurnPolicy
from bridge.messages.wire import (
    MESSAGE_OF,
    RESPONSE_VERSION,
    SCHEMA_VERSION,
    TYPES,
    UNREADABLE,
    InboundMessage,
    M,
    Message,
    Reply,
    ReplyKind,
    ReplyTo,
    TurnEnd,
    as_redelivered,
    commanding,
    decode,
    encode,
    newest_version,
)

__all__ = [
    "FLOWS",
    "HIGH",
    "INBOUND",
    "LOW",
    "MESSAGE_OF",
    "NORMAL",
    "PRIORITIES",
    "REMINDER",
    "REPEATED",
    "REPLIES",
    "RESPONSE_VERSION",
    "SCHEMA_VERSION",
    "TYPES",
    "UNREADABLE",
    "Command",
    "DeadLetter",
    "Delivery",
    "Flow",
    "Handler",
    "InboundMessage",
    "M",
    "Message",
    "OutputChannel",
    "Part",
    "Priority",
    "RecentIds",
    "Reply",
    "ReplyKind",
    "ReplyTo",
    "TurnEnd",
    "TurnPolicy",
    "as_redelivered",
    "cause_of",
    "commanding",
    "decode",
    "encode",
    "newest_version",
    "trace_context",
    "trace_id",
]
