"""The usual hops of a message in one process, as one record: most messages have no others.

A record has the ids once, and a field for each hop; its time is 0 if it did not happen, or happened
after the record was written: then it is a `Hop`, like everything unusual.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import msgspec

from bridge.messages.numbers import Count, Seconds, Time
from bridge.telemetry.trace.hop import Hop


class Enqueued(msgspec.Struct, array_like=True, gc=False):
    """A webhook has received a message, and the broker has confirmed it."""

    channel: str
    conversation: str
    id: str
    accepted: Time
    confirmed: Time = 0.0

    def hops(self) -> Iterator[Hop]:
        """Yield the hops of the record."""
        ids = self.channel, self.conversation, self.id
        yield Hop("accepted", self.accepted, *ids)
        if self.confirmed:
            yield Hop("confirmed", self.confirmed, *ids)


class Turned(msgspec.Struct, array_like=True, gc=False):
    """A worker has attempted a message."""

    reply: ClassVar[str] = ""

    channel: str
    conversation: str
    id: str
    attempt: Count
    began: Time
    settled: Time = 0.0
    outcome: str = ""
    turned: Time = 0.0
    """When the turn ended."""
    seconds: Seconds = 0.0
    replies: Count = 0
    replied: Time = 0.0
    """When the first reply was confirmed;"""
    what: str = ""
    """its kind,"""
    first: str = ""
    """and its id."""
    error: str = ""
    """What Rasa logged in the turn, see `Hop.what`."""

    def hops(self) -> Iterator[Hop]:
        """Yield the hops of the record."""
        ids = self.channel, self.conversation, self.id
        yield Hop("attempt", self.began, *ids, attempt=self.attempt)
        if self.replied:
            yield Hop("reply", self.replied, *ids, self.first, what=self.what)
        if self.turned:
            took = self.seconds, self.error
            yield Hop("turn", self.turned, *ids, "", 0, *took, replies=self.replies)
        if self.settled:
            yield Hop("settled", self.settled, *ids, what=self.outcome)


class Called(msgspec.Struct, array_like=True, gc=False):
    """`deliver` has attempted a reply."""

    channel: str
    conversation: str
    id: str
    reply: str
    attempt: Count
    began: Time
    settled: Time = 0.0
    outcome: str = ""
    called: Time = 0.0
    """When the first call ended."""
    seconds: Seconds = 0.0
    what: str = ""
    status: Count = 0
    provider_id: str = ""

    def hops(self) -> Iterator[Hop]:
        """Yield the hops of the record."""
        ids = self.channel, self.conversation, self.id, self.reply
        yield Hop("attempt", self.began, *ids, attempt=self.attempt)
        if self.called:
            answer = self.what, self.status, self.provider_id
            yield Hop("call", self.called, *ids, 0, self.seconds, *answer)
        if self.settled:
            yield Hop("settled", self.settled, *ids, what=self.outcome)


Record = Enqueued | Turned | Called
