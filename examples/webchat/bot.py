"""A bot that takes its time, so that you can leave the page before it answers."""

from __future__ import annotations

import asyncio

from bridge import InboundMessage, OutputChannel


async def handle(message: InboundMessage, output: OutputChannel) -> None:
    """Answer one message, after three seconds if it says so."""
    if "slow" in message.text.lower():
        await output.send_text_message(message.sender_id, "One moment …")
        await asyncio.sleep(3)
    buttons = [{"title": "Slowly, please", "payload": "slow"}]
    await output.send_text_with_buttons(message.sender_id, f"You said: {message.text}", buttons)
