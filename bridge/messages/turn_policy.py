"""How the messages of a conversation become turns. Plain data, on the wire with each message."""

from __future__ import annotations

import msgspec

from bridge.messages.numbers import Time

EACH = "each"
COLLECT = "collect"
LATEST = "latest"
INTERRUPT = "interrupt"
POLICIES = (EACH, COLLECT, LATEST, INTERRUPT)
"""Values of the option `turns`; the first one is the default."""


class TurnPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker does with a message if others of its conversation wait.

    A message without a policy has a turn for itself, and ends the collection before it. Durations
    are in seconds.
    """

    kind: str
    """One of `POLICIES`. Another value, which a later version may add, means `each`."""
    quiet: float = 1.5
    """The conversation must have been quiet for so long before the turn starts,"""
    max_wait: float = 6.0
    """but its first message waits no longer than this."""
    joiner: str = "\n"
    """Stands between the texts."""
    max_messages: int = 20
    """A turn has at most so many messages."""

    @property
    def joins(self) -> bool:
        """Whether several messages become one turn."""
        return self.kind in (COLLECT, INTERRUPT)


class Part(msgspec.Struct, frozen=True):
    """One of the messages that became a turn."""

    id: str
    text: str
    received_at: Time
    """Unix time in seconds at which the webhook received it."""
