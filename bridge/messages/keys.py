"""What identifies a message among all others."""

from __future__ import annotations

from bridge.messages.wire import InboundMessage, Reply


def message_key(message: InboundMessage | Reply) -> str:
    """Return what identifies a message among all others, of both flows."""
    return "\0".join((message.flow, message.channel, message.conversation, message.id))
