"""Several messages as one, for one turn. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.messages.turn_policy import Part
from bridge.messages.wire import InboundMessage

MESSAGES = "messages"
"""The key of the metadata that lists the messages of a turn."""


def as_one(messages: Sequence[InboundMessage]) -> InboundMessage:
    """Return messages of one channel and conversation as the message of one turn.

    Everything but text and metadata is that of the last one, so replies refer to it.
    """
    parts = tuple(
        Part(message.id, message.text.strip(), message.received_at) for message in messages
    )
    last = messages[-1]
    redelivered = any(message.redelivered for message in messages)
    return _of(replace(last, redelivered=redelivered), parts)


def without(message: InboundMessage, ids: Collection[str]) -> InboundMessage | None:
    """Return a turn without some of its messages, or None if no other is left."""
    left = tuple(part for part in message.parts if part.id not in ids)
    return _of(message, left) if left else None


def ids_in(metadata: Any, last: str) -> list[str]:
    """Return the ids of the messages of a turn, as its metadata lists them; `last` has its id.

    A channel's users may choose metadata, so any value is possible.
    """
    listed = metadata.get(MESSAGES) if isinstance(metadata, dict) else None
    if not isinstance(listed, list) or not listed:
        return []
    ids = [part.get("id") if isinstance(part, dict) else None for part in listed]
    return [id for id in ids if isinstance(id, str)] if ids[-1] == last else []


def _of(message: InboundMessage, parts: tuple[Part, ...]) -> InboundMessage:
    joiner = message.turns.joiner if message.turns else "\n"
    return replace(
        message,
        id=parts[-1].id,
        text=joiner.join(part.text for part in parts if part.text),
        metadata={**(message.metadata or {}), MESSAGES: msgspec.to_builtins(list(parts))},
        parts=parts,
    )
