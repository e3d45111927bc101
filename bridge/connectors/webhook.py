"""`webhook`: Rasa's callback format, signed both ways as Standard Webhooks has it.

The specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
In: POST {"sender", "message", "metadata"?}. Out: each reply as one POST to `url`. The id is in the
header `webhook-id`: of what comes in the sender's, of what goes out the reply's.
"""

from __future__ import annotations

import hmac
import json
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.rest import parse_rest, reply_body
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.errors import RequestRejected, ServiceUnavailable, SettingsError
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import InboundMessage, Reply

WINDOW = 300
"""Seconds that a signature counts, before and after its time."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class WebhookConnector(Connector):
    name = "webhook"
    verification = Verification("signature")

    def __init__(
        self, url: str, secret: str | list[str], headers: dict[str, str] | None = None
    ) -> None:
        """`secret`: `whsec_…`, or several: each is good for what comes in, all sign what goes out.

        Raises:
            SettingsError: a secret is not what the specification calls one, or there is none.
        """
        self.url = url
        self.headers = headers or {}
        self._keys = [_key(value) for value in ([secret] if isinstance(secret, str) else secret)]
        if not self._keys:
            raise SettingsError("key 'secret' is empty: whsec_… as both sides have it")

    def verify(self, request: Request) -> None:
        # The library's own `verify` takes the time from the clock, and of a header that lists
        # several signatures none after one that is malformed.
        id, at = request.headers.get(ID, ""), request.headers.get(TIMESTAMP, "")
        try:
            current = at.isdigit() and abs(self.now() - int(at)) <= WINDOW
            wanted = self._signatures(id, int(at), request.body.decode()) if current and id else []
        except (ValueError, OverflowError, OSError):
            # A header or a body that is no text, or a time that is no time.
            wanted = []
        given = request.headers.get(SIGNATURE, "").split(" ")
        if not any(_same(one, other) for one in given for other in wanted):
            raise RequestRejected(403, "no valid webhook-signature of the last five minutes")

    def parse(self, request: Request) -> list[InboundMessage]:
        if request.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        return [parse_rest(self, request, id=request.headers[ID])]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        body = json.dumps(reply_body(reply))
        # Its parts must not hold the dot that stands between them in what is signed.
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
        await http.post_bytes(self.url, body.encode(), headers=headers, check=raise_for_answer)

    def _signatures(self, id: str, at: int, body: str) -> list[str]:
        time = datetime.fromtimestamp(at, timezone.utc)
        return [key.sign(id, time, body) for key in self._keys]


def raise_for_answer(response: Response) -> None:
    """Raise what an answer means: no reply is good until the two sides share a secret."""
    if response.status in (401, 403):
        raise ServiceUnavailable(f"HTTP {response.status}: check 'secret'")
    raise_for_status(response)


def _key(secret: str) -> Webhook:
    try:
        if not secret.startswith("whsec_"):
            raise ValueError
        return Webhook(secret.strip())
    except Exception as error:
        # Not quoted.
        raise SettingsError("key 'secret': whsec_ and base64, as both sides have it") from error


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
