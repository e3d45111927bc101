"""`webhook`: Rasa's callback format, signed in both directions as in Standard Webhooks.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
In: POST {"sender", "message", "metadata"?}. Out: one POST to `url` per reply. The header
`webhook-id` holds the sender's event id, or the id of the reply.
"""

from __future__ import annotations

import base64
import hmac
import json
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.rest import parse_rest, reply_body
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.connectors.toolkit.request import expect_json
from bridge.errors import RequestRejected, ServiceUnavailable, SettingsError
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

WINDOW = 300
"""Seconds for which a signature is valid, before and after its timestamp."""
SHORTEST_KEY = 24
"""Bytes of a key, as the specification demands."""
FIX = f"use the secret that both sides share: whsec_ and base64 of {SHORTEST_KEY} bytes or more"
PREFIX = "whsec_"
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class WebhookConnector(Connector):
    name = "webhook"
    file_keys = frozenset()  # its clients choose the metadata
    only_deliver = frozenset({"url", "headers"})
    verification = Verification("signature")

    def __init__(
        self, url: HttpUrl, secret: str | list[str], headers: dict[str, str] | None = None
    ) -> None:
        """`secret` is one secret (`whsec_…`) or a list: any of them may sign an incoming request,
        and all of them sign outgoing calls.

        Raises:
            SettingsError: a secret does not have the specified form, or the list is empty.
        """
        self.url = url
        self.headers = headers or {}
        self._keys = [_key(value) for value in ([secret] if isinstance(secret, str) else secret)]
        if not self._keys:
            raise SettingsError("key 'secret' is empty", fix=FIX)

    def verify(self, request: Request) -> None:
        # Not the library's `verify`: it reads the clock itself, and ignores all signatures that
        # follow a malformed one in the header.
        id, at = request.headers.get(ID, ""), request.headers.get(TIMESTAMP, "")
        try:
            current = at.isdigit() and abs(self.now() - int(at)) <= WINDOW
            wanted = self._signatures(id, int(at), request.body.decode()) if current and id else []
        except (ValueError, OverflowError, OSError):
            # The header or the body is not text, or the timestamp is not a time.
            wanted = []
        given = request.headers.get(SIGNATURE, "").split(" ")
        if not any(_same(one, other) for one in given for other in wanted):
            raise RequestRejected(403, "no valid webhook-signature of the last five minutes")

    def parse(self, request: Request) -> list[InboundMessage]:
        expect_json(request)
        return [parse_rest(self, request, id=request.headers[ID])]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        body = json.dumps(reply_body(reply))
        # The signed text joins id, timestamp and body by dots, so the id must not contain one.
        id = idempotency_key(reply).replace("%", "%25").replace(".", "%2E")
        at = int(self.now())
        headers = {
            **self.headers,
            ID: id,
            TIMESTAMP: str(at),
            SIGNATURE: " ".join(self._signatures(id, at, body)),
        }
        if reply.redelivered:
            headers["X-Redelivered"] = "true"
        await http.post_bytes(self.url, body.encode(), headers=headers, check=raise_for_response)

    def _signatures(self, id: str, at: int, body: str) -> list[str]:
        time = datetime.fromtimestamp(at, timezone.utc)
        return [key.sign(id, time, body) for key in self._keys]


def raise_for_response(response: Response) -> None:
    """Raise the error for a response; 401 and 403 concern every call: the secret is wrong."""
    if response.status in (401, 403):
        raise ServiceUnavailable(f"HTTP {response.status}", fix="check 'secret'")
    raise_for_status(response)


def _key(secret: str) -> Webhook:
    try:
        if not secret.strip().startswith(PREFIX):
            raise ValueError
        if len(base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)) < SHORTEST_KEY:
            raise ValueError
        return Webhook(secret.strip())
    except Exception as error:
        # The error must not quote the secret.
        raise SettingsError("key 'secret' is not a valid secret", fix=FIX) from error


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
