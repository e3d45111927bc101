"""Who may call Rasa's HTTP API: the rules of `requires_auth` in rasa/server.py (3.6)."""

from __future__ import annotations

from typing import Any

from bridge.connectors.toolkit.request import Request
from bridge.connectors.toolkit.signed_tokens import SignedTokens
from bridge.connectors.toolkit.tokens import bearer_token, is_one_of
from bridge.errors import RequestRejected
from bridge.settings.api import ApiSettings


class ApiAccess:
    """Checks the token of a call: `?token=…`, or a signed one in the header `Authorization`."""

    def __init__(self, settings: ApiSettings) -> None:
        """
        Raises:
            SettingsError: `jwt_method` is not an algorithm that signs.
        """
        self._tokens = [settings.auth_token] if settings.auth_token else []
        secret = settings.jwt_secret
        signed = SignedTokens(secret or "", settings.jwt_method)
        self._signed = signed if secret else None

    @property
    def is_open(self) -> bool:
        """Whether anyone may call."""
        return not self._tokens and self._signed is None

    def check(self, request: Request, conversation: str | None) -> None:
        """Check that the caller may act on a conversation, or on the assistant if that is None.

        Raises:
            RequestRejected: 401, there is no valid token; 403, the token's user may not.
        """
        if self.is_open or is_one_of(request.query.get("token"), self._tokens):
            return
        claims = self._signed.claims(bearer_token(request)) if self._signed else {}
        if not claims:
            raise RequestRejected(401, "User is not authenticated.")
        user: Any = claims.get("user")
        user = user if isinstance(user, dict) else {}
        is_own = conversation is not None and user.get("username") == conversation
        if user.get("role") != "admin" and not (user.get("role") == "user" and is_own):
            raise RequestRejected(403, "User has insufficient permissions.")
