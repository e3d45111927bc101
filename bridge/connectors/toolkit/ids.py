"""How long an id may be: every role logs it, and queues, tracker store and services keep it."""

from __future__ import annotations

from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

LONGEST_ID = 1024
"""Bytes in UTF-8."""


def check_ids(**ids: str | None) -> None:
    """Raise if an id is too long.

    Raises:
        RequestRejected: 400.
    """
    for name, id in ids.items():
        if id is not None and len(id.encode(errors="replace")) > LONGEST_ID:
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
