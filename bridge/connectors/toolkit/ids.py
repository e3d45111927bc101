"""What may be an id, and how long: every role logs it, and queues and services keep it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

AT_ONCE = 64
"""Random ids that are made together."""
LONGEST_ID = 1024
"""Bytes in UTF-8."""
SHORT = LONGEST_ID // 4
"""Characters, of four bytes at most, that are never too many."""


_random: list[str] = []
os.register_at_fork(after_in_child=_random.clear)


def new_id() -> str:
    """Return a random id of 128 bits."""
    if not _random:
        # One request to the system for many ids.
        digits = os.urandom(16 * AT_ONCE).hex()
        _random.extend(digits[at : at + 32] for at in range(0, len(digits), 32))
    return _random.pop()


def as_id(value: Any) -> str:
    """Return an id of a JSON body as a text; a number is one, too. Return '' for anything else."""
    if isinstance(value, str):
        return value if value.strip() else ""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else ""


def sent_id(headers: Mapping[str, str]) -> str | None:
    """Return the sender's id of an event: the IETF draft's, or that of Standard Webhooks."""
    return headers.get("idempotency-key") or headers.get("webhook-id") or None


def check_ids(**ids: str | None) -> None:
    """Raise if an id is too long.

    Raises:
        RequestRejected: 400.
    """
    for name, id in ids.items():
        if id is None or len(id) <= SHORT:
            continue
        if len(id.encode(errors="replace")) > LONGEST_ID:
            raise RequestRejected(400, f"{name!r} is longer than {LONGEST_ID} bytes")


def check_message(message: InboundMessage) -> None:
    """Raise if a message has an id that is too long.

    Raises:
        RequestRejected: 400.
    """
    ids = message.id, message.sender_id, message.input_channel, message.output_channel
    if max(map(len, ids)) <= SHORT:
        return
    check_ids(
        message_id=message.id,
        sender=message.sender_id,
        input_channel=message.input_channel,
        output_channel=message.output_channel,
    )
