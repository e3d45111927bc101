"""Runs turns on a Rasa server over HTTP (`rasa run` with `rest:` in its credentials).

Rasa's REST channel answers a failed turn with 200 and an empty list, so a failure looks like a turn
without replies. With the assistant in this process (`--model`) the two can be told apart.
"""

from __future__ import annotations

from typing import Any

from bridge.errors import RetryableDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import Handler, InboundMessage
from bridge.runtime.work import seal


def server_handler(url: str, http: HttpClient) -> Handler:
    """Return the handler that posts each message to `<url>/webhooks/rest/webhook`."""
    webhook = f"{url.rstrip('/')}/webhooks/rest/webhook"

    async def handle(message: InboundMessage, output: Any) -> None:
        seal()  # the server goes on with the turn, even if the call is cancelled
        body = {
            "sender": message.sender_id,
            "message": message.text,
            "input_channel": message.input_channel,
            "metadata": message.metadata or {},
        }
        answer = (await http.post_json(webhook, body)).json()
        if not isinstance(answer, list):
            raise RetryableDeliveryError(f"{webhook} did not answer with a list")
        for response in answer:
            recipient = response.pop("recipient_id", message.sender_id)
            await output.send_response(recipient, response)

    return handle
