"""A bot with a short, a long and an illustrated answer."""

from __future__ import annotations

from bridge import InboundMessage, OutputChannel

TERMS = "\n\n".join(
    f"Our terms, paragraph {n}: {'please read them carefully. ' * 8}" for n in (1, 2, 3)
)


async def handle(message: InboundMessage, output: OutputChannel) -> None:
    """Answer one message of a customer."""
    if "terms" in message.text:
        await output.send_text_message(message.sender_id, TERMS)
    elif "picture" in message.text:
        await output.send_image_url(message.sender_id, "https://example.com/shop.png")
    else:
        await output.send_text_message(message.sender_id, f"You said: {message.text}")
