"""The messages on the queues: frozen structs, JSON on the wire. No AMQP, no I/O.

Unknown fields are ignored, so an older process can read the messages of a newer one. A missing
field is a `MessageError`. `v` is the schema version: a body whose version is above
`newest_version` is refused, because a process must not act on half of a message.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Hashable, Mapping
from functools import cached_property
from json.encoder import JSONEncoder, encode_basestring_ascii
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from bridge.errors import MessageError
from bridge.messages.command import Command
from bridge.messages.flow import INBOUND, REPLIES, Flow
from bridge.messages.numbers import Time
from bridge.messages.priority import NORMAL, Priority
from bridge.messages.trace_context import trace_id
from bridge.messages.turn_policy import Part, TurnPolicy

SCHEMA_VERSION = 1
"""The version of a message by default."""
COMMAND_VERSION = 2
"""That of a message with a command: a process that knows none would run it as a user's message."""
RESPONSE_VERSION = 2
"""That of a reply of the kind `response`, which earlier versions cannot send."""

ReplyKind = Literal[
    "text", "buttons", "quick_replies", "image", "attachment", "elements", "custom", "response"
]


class ReplyTo(msgspec.Struct, frozen=True):
    """Where a webhook process waits for the replies of one turn (synchronous channels only)."""

    queue: str
    ticket: str
    """A new random value for each request, so that no request sees the replies to another."""


class InboundMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One user message on its way to the assistant.

    The fields from `sender_id` to `metadata` are those of Rasa's `UserMessage`.
    """

    flow: ClassVar[Flow] = INBOUND

    id: str
    """The provider's id of the event, or one made by the bridge. Each id has one effect."""
    channel: str
    """Key in credentials.yml. It selects the reply queues and the connector that answers."""
    sender_id: str
    """The conversation."""
    text: str
    input_channel: str
    """Rasa's name of the channel, as in `UserMessage.input_channel`."""
    output_channel: str
    """The value of `OutputChannel.name()`, by which Rasa picks channel-specific responses."""
    parse_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    route: dict[str, Any] = {}
    """Data that the connector needs to answer (thread, service URL, …). Never a secret."""
    reply_to: ReplyTo | None = None
    """Set by synchronous channels: where their HTTP request waits for the replies."""
    whole_responses: bool = False
    """The output channel overrides `send_response`: each response becomes one reply."""
    priority: Priority = NORMAL
    """That of its channel. It selects the queue of its partition."""
    received_at: Time = msgspec.field(default_factory=time.time)
    """Unix time in seconds at which the webhook received the message."""
    command: Command | None = None
    """What to do instead of a turn with `text`; see `commanding`."""
    due_at: Time | None = None
    """Unix time in seconds before which the message must not run (reminders)."""
    traceparent: str | None = None
    """W3C trace context of the request, passed on unchanged."""
    tracestate: str | None = None
    """What the request's tracing system adds to it."""
    redelivered: bool = False
    """Set by the worker if the turn may have run before: its replies may have been sent."""
    turns: TurnPolicy | None = None
    """The policy of its channel; None: it has a turn for itself."""
    parts: tuple[Part, ...] = ()
    """Set by the worker: the messages of the turn, if the policy may join several."""
    v: int = SCHEMA_VERSION

    @property
    def conversation(self) -> str:
        return self.sender_id

    def lane(self) -> Hashable:
        """Return the key of the lane: the turns of one conversation run in order.

        The channel is no part of it, because Rasa's tracker is found by `sender_id` alone. What
        only reads has a lane for itself: it must not wait until a long turn has ended.
        """
        if self.command is not None and self.command.reads:
            return self.sender_id, self.id
        return self.sender_id

    @property
    def identity(self) -> str:
        """Two messages of one conversation with the same identity are copies of each other."""
        return self.id

    @property
    def at(self) -> float:
        """Unix time in seconds from which its waiting time counts."""
        return self.due_at or self.received_at

    @property
    def ids(self) -> dict[str, object]:
        """Return the ids that identify the message in logs."""
        if self.traceparent is None:
            return {"channel": self.channel, "inbound": self.id}
        trace = trace_id(self.traceparent)
        return {"channel": self.channel, "inbound": self.id, "trace_id": trace}


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """One reply of the assistant: one `send_*` call on its output channel.

    The kind `response` is a whole response of the assistant, for a wrapped channel that sends it in
    `send_response`. Its content is the dict that Rasa passes there.
    """

    flow: ClassVar[Flow] = REPLIES
    priority: ClassVar[Priority] = NORMAL
    turns: ClassVar[TurnPolicy | None] = None

    id: str
    """`<inbound id>:<n>`, counted from 0. It is the same when the turn runs again."""
    channel: str
    """Key in credentials.yml: the channel of the inbound message."""
    recipient_id: str
    """The conversation, as the assistant named it in `send_*`."""
    kind: ReplyKind
    text: str | None = None
    """Text of the kinds text, buttons and quick_replies."""
    content: Any = None
    """A URL (image, attachment), a list (buttons, quick_replies, elements), a dict (response) or
    any JSON (custom)."""
    options: dict[str, Any] = {}
    """Further keyword arguments that Rasa passed to `send_*`."""
    route: dict[str, Any] = {}
    """`InboundMessage.route`, copied into every reply of the turn."""
    in_reply_to: str
    """Id of the inbound message."""
    ticket: str | None = None
    """Ticket of the HTTP request that waits for this reply, if one does."""
    created_at: Time = msgspec.field(default_factory=time.time)
    """Unix time in seconds."""
    traceparent: str | None = None
    """W3C trace context of the inbound message."""
    tracestate: str | None = None
    """As in `InboundMessage`."""
    redelivered: bool = False
    """Set on every copy after the first, whatever caused it: the service may already have the
    reply."""
    v: int = SCHEMA_VERSION

    @property
    def conversation(self) -> str:
        return self.recipient_id

    def lane(self) -> Hashable:
        """Return the key of the lane: the replies of a channel to one recipient go out in order."""
        return self.channel, self.recipient_id

    @cached_property
    def identity(self) -> str:
        """Two replies to one recipient with the same identity are copies of each other.

        The id and a digest of what the user reads: a turn that runs again may say something else
        under the same id, and that is no copy. Equal in every process. Computed once, because each
        attempt needs it several times.
        """
        try:
            if self.content is None and not self.options:
                # The same, for most replies, in a quarter of the time.
                text = "null" if self.text is None else encode_basestring_ascii(self.text)
                read = f'["{self.kind}", {text}, null, {{}}]'
            else:
                read = _canonical((self.kind, self.text, self.content, self.options))
        except (TypeError, ValueError, RecursionError):
            # Only a connector that changes a reply can put such a value into it.
            read = ""
        return f"{self.id}-{hashlib.sha256(read.encode()).hexdigest()[:16]}"

    @property
    def at(self) -> float:
        """Unix time in seconds from which its waiting time counts."""
        return self.created_at

    @property
    def ids(self) -> dict[str, object]:
        """Return the ids that identify the reply in logs."""
        ids: dict[str, object] = {
            "channel": self.channel,
            "inbound": self.in_reply_to,
            "reply": self.id,
        }
        if self.traceparent is not None:
            ids["trace_id"] = trace_id(self.traceparent)
        return ids


class TurnEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tells a waiting webhook process that the turn has sent its last reply."""

    in_reply_to: str
    """Id of the inbound message."""
    ticket: str
    error: str | None = None
    """Class name of the error, if the turn was dead-lettered."""
    v: int = SCHEMA_VERSION


Message = InboundMessage | Reply | TurnEnd
M = TypeVar("M", bound=Message)

MESSAGE_OF: Mapping[Flow, type[InboundMessage] | type[Reply]] = {
    INBOUND: InboundMessage,
    REPLIES: Reply,
}
"""Flow → the struct of its messages."""

TYPES: dict[type, str] = {InboundMessage: "inbound", Reply: "reply", TurnEnd: "turn_end"}
"""Struct → AMQP `type` property."""

_NEWEST: dict[type, int] = {InboundMessage: COMMAND_VERSION, Reply: RESPONSE_VERSION}

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a body that is not JSON of the expected shape."""

_canonical = JSONEncoder(sort_keys=True, default=repr).encode
_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {t: msgspec.json.Decoder(t) for t in TYPES}


def commanding(message: InboundMessage, command: Command, **changes: Any) -> InboundMessage:
    """Return the message with a command, and further fields changed."""
    return msgspec.structs.replace(message, command=command, v=COMMAND_VERSION, **changes)


def as_redelivered(message: M) -> M:
    """Return the message with the mark that this may not be its first copy, if it can have one.

    A reply is marked because its service may have it already, an inbound message because the
    replies of its turn may have been sent already.
    """
    if isinstance(message, TurnEnd):
        return message
    return msgspec.structs.replace(message, redelivered=True)


def newest_version(kind: type) -> int:
    """Return the highest schema version that this process reads of a kind of message."""
    return _NEWEST.get(kind, SCHEMA_VERSION)


def encode(message: Message) -> bytes:
    """Return the JSON body of a message.

    Raises:
        MessageError: a value in metadata, route or content cannot be written as JSON.
    """
    try:
        return _encoder.encode(message)
    except (TypeError, ValueError, RecursionError) as error:
        raise MessageError(
            f"{TYPES[type(message)]} message cannot be written as JSON: {error}"
        ) from error


def decode(body: bytes, kind: type[M]) -> M:
    """Return the message of type `kind` in a JSON body.

    Raises:
        MessageError: the body is not JSON, lacks a field, has a field of the wrong type, or has a
            later schema version.
    """
    try:
        message: M = _decoders[kind].decode(body)
    except UNREADABLE as error:
        raise MessageError(f"not a valid {TYPES[kind]} message: {error}") from error
    if message.v > SCHEMA_VERSION and message.v > newest_version(kind):
        raise MessageError(
            f"{TYPES[kind]} message has schema version {message.v}, and this process reads"
            f" versions up to {newest_version(kind)}",
            fix="upgrade this process first",
        )
    return message
