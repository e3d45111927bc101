"""The webhook of Meta's services: signatures, subscriptions, read receipts.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started (signature, challenge).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request
from bridge.connectors.interfaces import Inbox
from bridge.connectors.meta.indicators import Indicators
from bridge.errors import RequestRejected
from bridge.http.responses import text_response

if TYPE_CHECKING:
    from sanic import Blueprint
    from sanic.response import HTTPResponse


class MetaConnector(Connector):
    """Base of the connectors for Meta's services."""

    def __init__(self, secret: str, verify: str) -> None:
        """`secret` is the app secret; `verify` is the verify token of the subscription."""
        self._secret = secret.strip()
        self._verify = verify
        self._indicators = Indicators()

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
        blueprint = super().blueprint(inbox)
        # Without the access token, which only `deliver` may have, no indicator can be shown.
        return blueprint if self.withheld else self._indicators.attach(blueprint)


def verify_signature(request: Request, secret: str) -> None:
    """Check X-Hub-Signature-256, or if it is missing X-Hub-Signature, which Rasa checks.

    Raises:
        RequestRejected: 403.
    """
    for header, digest in (("x-hub-signature-256", "sha256"), ("x-hub-signature", "sha1")):
        given = request.headers.get(header)
        if given is not None:
            expected = f"{digest}={hmac.digest(secret.encode(), request.body, digest).hex()}"
            if hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
                return
            break
    raise RequestRejected(403, "no valid X-Hub-Signature-256 of the configured app secret")


def subscribed(request: Request, token: str) -> HTTPResponse:
    """Return the challenge by which Meta verifies that the URL belongs to the app.

    Raises:
        RequestRejected: 403, the verify token is wrong; 400, the challenge is missing.
    """
    given = request.query.get("hub.verify_token", "")
    if not token or not hmac.compare_digest(given.encode(errors="replace"), token.encode()):
        raise RequestRejected(403, "hub.verify_token is not the configured 'verify'")
    challenge = request.query.get("hub.challenge")
    if challenge is None:
        raise RequestRejected(400, "hub.challenge is missing")
    return text_response(challenge)
