"""What may be an id, and how long: every role logs it, and queues and services keep it."""

from __future__ import annotations

from typing import Any

from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

LONGEST_ID = 1024
"""Bytes in UTF-8."""


def as_id(value: Any) -> str:
    """Return an id of a JSON body as a text; a number is one, too. Return '' for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else ""


def check_ids(**ids: str | None) -> None:
    """Raise if an id is too long.

    Raises:
        RequestRejected: 400.
    """
    for name, id in ids.items():
        # A character has four bytes at most.
        if id is None or len(id) <= LONGEST_ID // 4:
            continue
        if len(id.encode(errors="replace")) > LONGEST_ID:
            raise RequestRejected(400, f"{name!r} is longer than {LONGEST_ID} bytes")


def check_message(message: InboundMessage) -> None:
    """Raise if a message has an id that is too long.

    Raises:
        RequestRejected: 400.
    """
    check_ids(
        message_id=message.id,
        sender=message.sender_id,
        input_channel=message.input_channel,
        output_channel=message.output_channel,
    )
