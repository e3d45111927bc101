"""The records of attempts while they may still change: lists, with the fields of the structs.

To set a field of a list takes a third of the time, and most attempts have six that change.
"""

from __future__ import annotations

from typing import Any

from bridge.telemetry.trace.records import Called, Turned

Row = list[Any]
"""The fields of a `Turned`, or of a `Called`, in the order of the struct."""

CHANNEL, CONVERSATION = 0, 1
_turned = Turned.__struct_fields__.index
TURN_SETTLED = _turned("settled")
"""The outcome follows it."""
TURNED, TURN_SECONDS, REPLIES = _turned("turned"), _turned("seconds"), _turned("replies")
REPLIED, KIND, FIRST = _turned("replied"), _turned("what"), _turned("first")
ERROR = _turned("error")

_called = Called.__struct_fields__.index
CALL_SETTLED = _called("settled")
"""The outcome follows it."""
CALLED = _called("called")
"""All fields behind it tell of the call, too."""


def turned_row(channel: str, conversation: str, id: str, attempt: int, began: float) -> Row:
    """Return the row of an attempt at a message that begins."""
    return [channel, conversation, id, attempt, began, 0.0, "", 0.0, 0.0, 0, 0.0, "", "", ""]


def called_row(
    channel: str, conversation: str, id: str, reply: str, attempt: int, began: float
) -> Row:
    """Return the row of an attempt at a reply that begins."""
    return [channel, conversation, id, reply, attempt, began, 0.0, "", 0.0, 0.0, "", 0, ""]
