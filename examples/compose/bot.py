"""A bot that repeats what it is told."""

from __future__ import annotations

from bridge import InboundMessage, OutputChannel


async def handle(message: InboundMessage, output: OutputChannel) -> None:
    """Answer one message."""
    await output.send_text_message(message.sender_id, f"You said: {message.text}")
