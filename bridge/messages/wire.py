"""What travels on the queues: frozen structs, JSON on the wire. No AMQP, no I/O.

Unknown fields are ignored, so that an older process can read a newer one's messages; a missing
field is a `MessageError`. `v` is the schema version: a body with a later major version than
`SCHEMA_VERSION` is refused rather than half understood.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from bridge.errors import MessageError

SCHEMA_VERSION = 1

ReplyKind = Literal["text", "buttons", "quick_replies", "image", "attachment", "elements", "custom"]


class ReplyTo(msgspec.Struct, frozen=True):
    """Where a webhook process waits for the replies of one turn (synchronous channels only)."""

    queue: str
    ticket: str
    """Made anew for each request, so that no request can see another one's replies."""


class InboundMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One user message on its way to the assistant.

    The fields from `sender_id` to `metadata` are those of Rasa's `UserMessage`.
    """

    id: str
    """The provider's own id of the event, else made by the bridge: one effect per id."""
    channel: str
    """Key in credentials.yml: picks the reply queues and the connector that answers."""
    sender_id: str
    """The conversation."""
    text: str
    input_channel: str
    """Rasa's name of the channel, as `UserMessage.input_channel`."""
    output_channel: str
    """What `OutputChannel.name()` returns: Rasa picks channel-specific responses by it."""
    parse_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    route: dict[str, Any] = {}
    """What the connector needs in order to answer (thread, service URL, …). Never a secret."""
    reply_to: ReplyTo | None = None
    received_at: float = msgspec.field(default_factory=time.time)
    """Unix time in seconds at which the webhook took the message."""
    traceparent: str | None = None
    """W3C trace context of the request, passed on unchanged."""
    v: int = SCHEMA_VERSION

    @property
    def at(self) -> float:
        return self.received_at

    @property
    def ids(self) -> dict[str, object]:
        """For the log."""
        return {
            "channel": self.channel,
            "inbound": self.id,
            "trace_id": trace_id(self.traceparent),
        }


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply of the assistant: one `send_*` of its output channel."""

    id: str
    """`<inbound id>:<n>`: the same when the turn is run again."""
    channel: str
    recipient_id: str
    kind: ReplyKind
    text: str | None = None
    """Of the kinds text, buttons and quick_replies."""
    content: Any = None
    """Of the other kinds and of buttons and quick_replies: a URL, a list or a JSON object."""
    options: dict[str, Any] = {}
    """Further keyword arguments that Rasa gave to `send_*`."""
    route: dict[str, Any] = {}
    in_reply_to: str
    """Id of the inbound message."""
    ticket: str | None = None
    """Of the request that waits for this reply, if one does."""
    created_at: float = msgspec.field(default_factory=time.time)
    traceparent: str | None = None
    redelivered: bool = False
    """Set on the deliver side: it was handed out before, so the service may have it already."""
    v: int = SCHEMA_VERSION

    @property
    def at(self) -> float:
        return self.created_at

    @property
    def ids(self) -> dict[str, object]:
        """For the log."""
        return {
            "channel": self.channel,
            "inbound": self.in_reply_to,
            "reply": self.id,
            "trace_id": trace_id(self.traceparent),
        }


class TurnEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tells a webhook process that waits that no more replies of a turn will come."""

    in_reply_to: str
    ticket: str
    error: str | None = None
    """Class of the error, when the turn ended in the dead-letter queue."""
    v: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Delivery:
    """One message as it came from a queue, not decoded yet."""

    queue: str
    body: bytes
    kind: str | None
    """The AMQP `type`, see `TYPES`."""
    message_id: str | None
    redelivered: bool
    """It was handed out before: what it causes may already have happened."""
    delivery_count: int
    """How often it went back to the queue (quorum queues' `x-delivery-count`)."""
    ack: Callable[[], Awaitable[None]]
    """Settles the message; does nothing once its connection is lost."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    """As they came: a text that is not UTF-8 is bytes; so is a float that aio-pika 8 wrote."""

    @property
    def partition(self) -> str:
        return self.queue.rpartition(".")[2]

    @property
    def ids(self) -> dict[str, object]:
        """For the log, if it cannot be decoded."""
        return {"message_id": self.message_id}


Message = InboundMessage | Reply | TurnEnd
M = TypeVar("M", bound=Message)

TYPES: dict[type, str] = {InboundMessage: "inbound", Reply: "reply", TurnEnd: "turn_end"}
"""The AMQP `type` property of each struct."""

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(t) for t in TYPES}


def trace_id(traceparent: str | None) -> str | None:
    """Return the trace id of a W3C traceparent (version-trace_id-parent_id-flags), if it is one."""
    found = re.match("[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", traceparent or "")
    return found and found[1]


def encode(message: Message) -> bytes:
    """Return the JSON body of a message.

    Raises:
        MessageError: a value in metadata, route or content has no JSON form.
    """
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(f"{TYPES[type(message)]} message has no JSON form: {error}") from error


def decode(body: bytes, kind: type[M]) -> M:
    """Return the message of the given type that a JSON body holds.

    Raises:
        MessageError: not JSON, a field missing or of a wrong type, or a later schema version.
    """
    try:
        message: M = _decoders[kind].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"not a valid {TYPES[kind]} message: {error}") from error
    if message.v > SCHEMA_VERSION:
        raise MessageError(
            f"{TYPES[kind]} message has schema version {message.v}, this process reads up to"
            f" {SCHEMA_VERSION}: upgrade it first"
        )
    return message
