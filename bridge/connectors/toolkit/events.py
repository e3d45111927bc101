"""The kinds of events that a service has, and what becomes of each of them.

Each service declares its kinds; docs/how-to/channels lists the same. Kinds are named as in the
service's documentation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import msgspec

UNKNOWN = "unknown"
"""Kind of an event that the service has added since, or that has an unexpected shape."""

T = TypeVar("T")


@dataclass(frozen=True)
class Kinds:
    """All kinds of events of one service."""

    turn: tuple[str, ...] = ()
    """Those that become a message."""
    ignored: tuple[str, ...] = ()
    """Those that are acknowledged and counted."""
    answered: tuple[str, ...] = ()
    """Those that are answered without a message, such as a challenge."""
    receipts: tuple[str, ...] = ()
    """Those that report what became of a sent message; they are counted by their outcome."""


class EventSource:
    """The part of a connector that knows the kinds of events."""

    channel: str
    kinds: ClassVar[Kinds] = Kinds(turn=("message",))

    def ignore(self, kind: str) -> None:
        """Count an event that becomes no message; a kind that is not declared is `unknown`."""
        from bridge.telemetry import metrics  # only servers load it

        known = kind if kind in self.kinds.ignored else UNKNOWN
        metrics.events_ignored.labels(self.channel, known).inc()

    def shaped(self, value: Any, shape: type[T]) -> T | None:
        """Return one event of a batch as a msgspec type.

        Return None, and count the event as `unknown`, if it has another shape: the rest of the
        batch must not be refused with it.
        """
        found = converted(value, shape)
        if found is None:
            self.ignore(UNKNOWN)
        return found


def converted(value: Any, shape: type[T]) -> T | None:
    """Return decoded JSON as a msgspec type, or None if it has another shape."""
    try:
        return msgspec.convert(value, shape)
    except (msgspec.ValidationError, RecursionError):
        return None


def digest(*content: str | None) -> str:
    """Return a short digest of a message's content.

    As a part of the message's id, it gives an edit that changes nothing the id of the original.
    """
    joined = "\0".join(part or "" for part in content)
    return hashlib.sha256(joined.encode(errors="replace")).hexdigest()[:16]


def compact(**values: Any) -> dict[str, Any]:
    """Return the values that are not None, as metadata."""
    return {key: value for key, value in values.items() if value is not None}
