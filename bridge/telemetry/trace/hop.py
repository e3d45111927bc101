"""The hops of a message: what happened to it, where and when. Plain data, without any text of it.

Processes write hops in batches; a stream on the broker keeps them (`bridge.broker.stream`).
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from bridge.messages.numbers import Count, Seconds, Time

Kind = Literal[
    "accepted",
    "confirmed",
    "refused",
    "scheduled",
    "attempt",
    "failed",
    "held",
    "turn",
    "joined",
    "reply",
    "collected",
    "call",
    "settled",
    "dead",
    "replayed",
    "receipt",
]
"""What happened:

| kind | when |
| --- | --- |
| accepted | the webhook has received the message |
| confirmed, refused | the broker has confirmed it, or it was not enqueued |
| scheduled | a turn has put a reminder aside |
| attempt | an attempt at the message, or at a reply, starts |
| failed, held | it ended with an error; `held`: the broker's trouble, which does not count |
| turn | a turn has ended without an error |
| joined | the message was part of the turn that has the id of a later message, and has ended |
| reply | a reply is confirmed on its queue |
| collected | a reply has reached the HTTP request that waits for it |
| call | one call to the service has ended |
| settled | the message, or reply, needs no further attempt |
| dead, replayed | it was dead-lettered; it was published again |
| receipt | the service says what became of a call |
"""


class Hop(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened to a message. Times are Unix seconds, durations seconds."""

    kind: Kind
    at: Time
    channel: str
    conversation: str
    """Of a reply: its recipient, which usually is the conversation."""
    id: str
    """Id of the inbound message."""
    reply: str = ""
    """Id of the reply; empty for what happened to the inbound message itself."""
    attempt: Count = 0
    seconds: Seconds = 0.0
    """How long it took, if the hop tells that."""
    what: str = ""
    """Class of the error, outcome or reason; of a turn, the error that Rasa logged, as our log
    shows it. Never the text of an error, which may quote users."""
    status: Count = 0
    """HTTP status with which the service answered."""
    provider_id: str = ""
    """The id that the service gave to what it accepted."""
    replies: Count = 0
    """How many replies a turn has sent."""


class Answer(Protocol):
    """What a service answers to a call, which may take several requests: the latest counts."""

    status: int
    """The HTTP status; 0: there is no answer."""
    provider_id: str
    """The id that the service gave to what it accepted, or empty."""


def failed(error: BaseException) -> bool:
    """Whether an error that ended an attempt is a failure: else it goes on later, or again."""
    return isinstance(error, Exception) and getattr(error, "is_failure", True)
