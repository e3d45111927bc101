"""What Meta's services have in common: signatures, subscriptions, what users are shown.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started (signature, challenge).
"""

from __future__ import annotations

import hmac

from sanic import Blueprint
from sanic.response import HTTPResponse, text as text_response

from bridge.connectors.base import Connector, Inbox, Request
from bridge.connectors.meta.indicators import Shown
from bridge.errors import RequestRejected

JSON = "application/json"


class MetaConnector(Connector):
    """A connector whose webhook is one of Meta's."""

    def __init__(self, secret: str, verify: str) -> None:
        """`secret`: of the app; `verify`: the token that Meta is told for the subscription."""
        self._secret = secret.strip()
        self._verify = verify
        self._shown = Shown()

    def verifies(self) -> bool:
        return bool(self._secret)

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if not self._verify:
            missing.append("key 'verify' is missing: Meta cannot subscribe to the URL")
        return missing

    def verify(self, request: Request) -> None:
        if self._secret:
            verify_signature(request, self._secret)

    def greet(self, request: Request) -> HTTPResponse:
        return subscribed(request, self._verify)

    def blueprint(self, inbox: Inbox) -> Blueprint:
        return self._shown.attach(super().blueprint(inbox))


def verify_signature(request: Request, secret: str) -> None:
    """Check X-Hub-Signature-256, or where there is none X-Hub-Signature, which Rasa checks.

    Raises:
        RequestRejected: 403.
    """
    for header, digest in (("x-hub-signature-256", "sha256"), ("x-hub-signature", "sha1")):
        given = request.headers.get(header)
        if given is not None:
            expected = f"{digest}={hmac.new(secret.encode(), request.body, digest).hexdigest()}"
            if hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
                return
            break
    raise RequestRejected(403, "no valid X-Hub-Signature-256 of the configured app secret")


def subscribed(request: Request, token: str) -> HTTPResponse:
    """Answer Meta's question whether this URL is ours: its challenge.

    Raises:
        RequestRejected: 403, it knows another token; 400, it asks nothing.
    """
    given = request.query.get("hub.verify_token", "")
    if not token or not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        raise RequestRejected(403, "hub.verify_token is not the configured 'verify'")
    challenge = request.query.get("hub.challenge")
    if challenge is None:
        raise RequestRejected(400, "hub.challenge is missing")
    return text_response(challenge)


def expect_json(request: Request) -> None:
    """Refuse what is not JSON.

    Raises:
        RequestRejected: 415.
    """
    if request.content_type != JSON:
        raise RequestRejected(415, f"send {JSON}")
