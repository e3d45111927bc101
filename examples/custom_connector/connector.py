"""A connector for an imaginary helpdesk. The methods are in the order in which they are called."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from bridge import (
    Connector,
    HttpClient,
    InboundMessage,
    RejectedDeliveryError,
    Reply,
    Request,
    RequestRejected,
    Response,
    ServiceUnavailable,
    Verification,
    calls,
    idempotency_key,
    raise_for_status,
)

MAX_AGE = 300
"""Seconds for which a signature is valid. A recorded request cannot be replayed later."""
MAX_TEXT = 400
"""Characters that the helpdesk accepts in one message."""
NATIVE_KINDS = ("text", "image")
"""Kinds of reply that the helpdesk can show. `calls` turns the others into text."""


class Helpdesk(Connector):
    name = "helpdesk"
    verification = Verification("signature")

    def __init__(self, secret: str, token: str, api_url: str) -> None:
        """`secret` signs the helpdesk's events, `token` authenticates calls to `api_url`."""
        self.secret = secret
        self.token = token
        self.url = f"{api_url.rstrip('/')}/messages"

    def verify(self, request: Request) -> None:
        sent_at = request.headers.get("x-helpdesk-time", "")
        given = request.headers.get("x-helpdesk-signature", "").encode(errors="replace")
        expected = sign(self.secret, sent_at, request.body).encode()
        is_recent = sent_at.isdecimal() and abs(self.now() - int(sent_at)) <= MAX_AGE
        if not (hmac.compare_digest(given, expected) and is_recent):
            raise RequestRejected(403, "no valid signature from the last five minutes")

    def parse(self, request: Request) -> list[InboundMessage]:
        event = request.json_object()
        if event.get("type") != "message":
            return []  # "typing" and "read" events: acknowledged, and nothing to answer
        for key in ("id", "conversation", "desk", "text"):
            if not isinstance(event.get(key), str):
                raise RequestRejected(400, f"'{key}' must be a string")
        message = self.message(
            request,
            id=event["id"],  # a repeated event is answered once
            sender_id=event["conversation"],
            text=event["text"],
            route={"desk": event["desk"]},  # comes back in every reply of this turn
        )
        return [message]

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, NATIVE_KINDS, MAX_TEXT)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        content = {"image": reply.content} if reply.kind == "image" else {"text": reply.text}
        headers = {
            "Authorization": f"Bearer {self.token}",
            # The same for each attempt, so the helpdesk can drop a repeated call.
            "Idempotency-Key": idempotency_key(reply),
        }
        body = {"conversation": reply.recipient_id, "desk": reply.route["desk"], **content}
        await http.post_json(self.url, body, headers=headers, check=check)


def check(response: Response) -> None:
    """Raise the error that a response stands for."""
    if response.status == 401:
        # Every call will fail until someone fixes the token: pause the channel, keep all replies.
        raise ServiceUnavailable("HTTP 401: check 'token' in credentials.yml")
    if response.status == 409:
        raise RejectedDeliveryError("HTTP 409: the conversation is closed")
    raise_for_status(response)  # 408, 425, 429 and 5xx: retry; any other 4xx: dead-letter


def sign(secret: str, sent_at: str, body: bytes) -> str:
    """Return the hexadecimal HMAC-SHA256 of a time (Unix time in seconds) and a body."""
    return hmac.new(secret.encode(), sent_at.encode() + b"." + body, hashlib.sha256).hexdigest()
