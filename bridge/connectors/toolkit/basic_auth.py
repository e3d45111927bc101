"""HTTP Basic authentication of requests (RFC 7617), as voice channels of rasa-pro have it."""

from __future__ import annotations

import hmac
from base64 import b64encode

from bridge.connectors.toolkit.request import Request
from bridge.errors import RequestRejected, SettingsError


class BasicAuth:
    """Checks user name and password; Twilio sends them if they are part of the webhook's URL."""

    def __init__(self, username: str | None, password: str | None, realm: str) -> None:
        """Without both, nothing is checked.

        Raises:
            SettingsError: only one of them is given.
        """
        if (not username) != (not password):
            raise SettingsError("keys 'username' and 'password' belong together", fix="set both")
        self._expected = b64encode(f"{username}:{password}".encode()) if username else None
        self._challenge = {"www-authenticate": f'Basic realm="{realm}"'}

    @property
    def is_on(self) -> bool:
        return self._expected is not None

    def verify(self, request: Request) -> None:
        """Check the request's `Authorization` header, in constant time.

        Raises:
            RequestRejected: 401, it is missing or wrong. The response asks for it, since a client
                may send the password only then.
        """
        if self._expected is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(errors="replace"), self._expected)
        if not same or scheme.lower() != "basic":
            error = RequestRejected(401, "user name or password is missing or wrong")
            error.headers = self._challenge
            raise error
