"""Which waiting messages become one turn, and when it starts. Pure.

A turn begins with the oldest message of a lane. Those behind it join it while they have the same
policy and channel. The first one that does not ends the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from bridge.messages import InboundMessage, TurnPolicy
from bridge.messages.turn_policy import LATEST

D = TypeVar("D")
Joins = Callable[[D, InboundMessage], "bool | None"]

LONGEST_TEXT = 1024 * 1024
"""Characters in the texts of a turn: as many as a request, and so one message, may have."""


class Group(NamedTuple):
    """The messages of one turn."""

    messages: list[InboundMessage]
    is_closed: bool
    """Nothing can join them any more: waiting longer changes nothing."""


def group(items: Iterable[tuple[D, InboundMessage]], joins: Joins[D]) -> Group:
    """Return the turn that begins with the first of the messages of a lane, given in order.

    `joins(delivery, message)` tells whether one may be in it: False ends the collection, and None
    leaves the message out, because it was handled before.
    """
    pairs = iter(items)
    delivery, head = next(pairs)
    policy, messages, length = head.turns, [head], len(head.text)
    if policy is None or not policy.joins or joins(delivery, head) is False:
        return Group(messages, is_closed=True)
    ids = {head.id}
    for delivery, message in pairs:
        if len(messages) >= policy.max_messages:
            break
        length += len(policy.joiner) + len(message.text)
        if not _has_policy_of(message, head) or length > LONGEST_TEXT:
            return Group(messages, is_closed=True)
        may_join = joins(delivery, message)
        if may_join is False:
            return Group(messages, is_closed=True)
        if may_join and message.id not in ids:
            ids.add(message.id)
            messages.append(message)
    return Group(messages, len(messages) >= policy.max_messages)


def successor(head: InboundMessage, behind: Iterable[InboundMessage]) -> InboundMessage | None:
    """Return the newest message that supersedes `head`, or None if it must run.

    Those `behind` it were not handled before; a copy of `head` supersedes nothing.
    """
    newest = None
    if head.turns is not None and head.turns.kind == LATEST:
        for message in behind:
            if not _has_policy_of(message, head):
                break
            newest = message if message.id != head.id else newest
    return newest


def due(policy: TurnPolicy, first: float, last: float) -> float:
    """Return when a turn starts whose messages arrived from `first` to `last`, on any clock."""
    return min(last + policy.quiet, first + policy.max_wait)


def _has_policy_of(message: InboundMessage, head: InboundMessage) -> bool:
    """Whether a message has the channel and policy of another one.

    The rest of a policy may differ after a change of credentials.yml; that of the head counts.
    """
    if message.turns is None or head.turns is None or message.channel != head.channel:
        return False
    return message.turns.kind == head.turns.kind
