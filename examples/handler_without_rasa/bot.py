"""A bot in one function."""

from __future__ import annotations

from bridge import InboundMessage, OutputChannel

ANSWERS = {
    "open": "We are open from 10 to 18, every day.",
    "address": "1 Harbour Street",
}


async def handle(message: InboundMessage, output: OutputChannel) -> None:
    """Answer one message. The bridge runs one message of a conversation at a time."""
    text = message.text.lower()
    if text == "fail":
        raise RuntimeError("this turn always fails")
    answers = [answer for word, answer in ANSWERS.items() if word in text]
    for answer in answers or ["I know our opening hours and our address."]:
        await output.send_text_message(message.sender_id, answer)
    if "address" not in text:
        buttons = [{"title": "Address", "payload": "address"}]
        await output.send_text_with_buttons(message.sender_id, "Anything else?", buttons)
