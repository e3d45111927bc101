"""A handler that awaits a slow text generator."""

from __future__ import annotations

import asyncio
import json
import os

from bridge import HttpClient, InboundMessage, OutputChannel, RetryableDeliveryError

BACKEND = os.environ.get("BACKEND_URL", "http://127.0.0.1:8091/generate")
TURN_TIMEOUT = 4.0
"""Seconds that one attempt at a turn may take."""


async def handle(message: InboundMessage, output: OutputChannel) -> None:
    """Answer one message.

    Every exception retries the turn: a timeout, a lost connection, or a 429 with its Retry-After.
    Later messages of the conversation wait; other conversations do not.
    """
    text = await asyncio.wait_for(generate(message), TURN_TIMEOUT)
    await output.send_text_message(message.sender_id, text)


async def generate(message: InboundMessage) -> str:
    """Return the generated text, once it is complete.

    Raises:
        DeliveryError: the backend refused the request, or broke off.
    """
    # The id is the same for every attempt, so the backend generates (and bills) only once.
    headers = {"Idempotency-Key": message.id}
    async with HttpClient() as http:
        response = await http.post_json(BACKEND, {"prompt": message.text}, headers=headers)
    events = [json.loads(line) for line in response.body.splitlines()]
    if not events or not events[-1].get("done"):
        raise RetryableDeliveryError("the stream ended early")
    return "".join(event.get("text", "") for event in events)
