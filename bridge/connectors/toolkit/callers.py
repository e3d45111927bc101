"""Who may call a channel of one's own services: holders of a token, or users with a signed one.

The keys `jwt_secret` and `jwt_method` and the claims are those of Rasa's HTTP API: a token has a
`user` with `username` and `role`; an `admin` may write as anyone, a `user` only as `username`.
https://legacy-docs-oss.rasa.com/docs/rasa/http-api/#jwt-token-based-auth
"""

from __future__ import annotations

from bridge.connectors.toolkit.request import Request
from bridge.connectors.toolkit.signed_tokens import SignedTokens
from bridge.connectors.toolkit.tokens import bearer_token, is_one_of, token_list
from bridge.errors import RequestRejected

FIX = "send it as 'Authorization: Bearer …'"


class Callers:
    """The optional authentication of `rest` and `callback`."""

    def __init__(
        self, token: str | list[str] | None, jwt_secret: str | None, jwt_method: str
    ) -> None:
        """`token` is one token or a list. Without it and without `jwt_secret`, anyone may call.

        Raises:
            SettingsError: `jwt_method` is not an algorithm that signs.
        """
        self._tokens = token_list(token)
        signed = SignedTokens(jwt_secret or "", jwt_method)
        self._signed = signed if jwt_secret else None
        self.are_known = bool(self._tokens or self._signed)
        """Whether callers are authenticated."""

    def verify(self, request: Request) -> None:
        """Check the token of a request.

        Raises:
            RequestRejected: 403, there is no valid token.
        """
        if self.are_known and not self._has_token(request) and self._user(request) is None:
            raise RequestRejected(403, "no valid token", fix=FIX)

    def check_sender(self, request: Request, sender: str) -> None:
        """Check that the caller may write as this sender.

        Raises:
            RequestRejected: 403.
        """
        if self.are_known and not self._has_token(request) and self._user(request) != sender:
            raise RequestRejected(403, "the token's user may not write as this sender")

    def _has_token(self, request: Request) -> bool:
        """Return whether the caller may write as anyone."""
        given = bearer_token(request)
        role = self._claim(given, "role") if self._signed else ""
        return is_one_of(given, self._tokens) or role == "admin"

    def _user(self, request: Request) -> str | None:
        given = bearer_token(request)
        is_user = self._signed and self._claim(given, "role") == "user"
        return (self._claim(given, "username") or None) if is_user else None

    def _claim(self, token: str, name: str) -> str:
        user = self._signed.claims(token).get("user") if self._signed else None
        value = user.get(name) if isinstance(user, dict) else None
        return value if isinstance(value, str) else ""
