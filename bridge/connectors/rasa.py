"""`rasa`: like `rest`, for users with a token of Rasa X or Rasa Enterprise.

Rasa's own channel: rasa/core/channels/rasa_chat.py (3.6). The conversation is the token's
`username`, or the `conversation_id` of the body if the user may write there. The keys that sign the
tokens come from `<url>/version`.
"""

from __future__ import annotations

import logging
from typing import Any

import jwt
import msgspec

from bridge.connectors.base import Request, Verification
from bridge.connectors.rest import BY_DEFAULT, RestConnector, parse_rest
from bridge.connectors.toolkit.fetch import fetch
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.signed_tokens import INVALID
from bridge.errors import RequestRejected
from bridge.messages import UNREADABLE, InboundMessage
from bridge.settings.sections import HttpUrl

log = logging.getLogger(__name__)

PLACEHOLDER = "http://localhost:5002/api"
"""The `url` that `rasa init` writes, for Rasa Enterprise, which almost no project has."""
ANY_CONVERSATION = "clientEvents:create"
"""Scope of a token whose user may write in every conversation."""
REFRESH_AFTER = 60.0
"""Seconds between two fetches of the keys, if no known key signed a token."""


class Key(msgspec.Struct):
    key: str
    alg: str


class Version(msgspec.Struct):
    keys: list[Key]


class RasaConnector(RestConnector):
    name = "rasa"
    only_webhook = frozenset()
    verification = Verification("the user's token")

    def __init__(self, url: HttpUrl, timeout: float = BY_DEFAULT) -> None:
        """`url` is that of Rasa Enterprise; `timeout` is in seconds, as in `rest`."""
        super().__init__(timeout)
        self.in_use = url != PLACEHOLDER
        self._url = f"{url.rstrip('/')}/version"
        self._keys: list[Key] = []
        self._fetched_at = float("-inf")
        self._refreshed = Refreshed(self._fetch, lambda: self.now())

    async def prepare(self, request: Request) -> None:
        def is_needed() -> bool:
            recent = self._keys and self.now() < self._fetched_at + REFRESH_AFTER
            return not recent and _has_token(request) and not self._claims(request)

        # Without a fetch in time, an unknown token is refused by the keys that are known.
        await self._refreshed.refresh(is_needed, lambda: bool(self._keys))

    async def _fetch(self) -> None:
        try:
            response = await fetch(self._url)
            self._keys = msgspec.json.decode(response.body, type=Version).keys
        except (RequestRejected, *UNREADABLE) as error:
            log.warning("the keys that sign tokens cannot be fetched: %s; check 'url'", error)
            raise RequestRejected(503, "the keys that sign tokens are not available") from error
        self._fetched_at = self.now()

    def verifies(self) -> bool:
        return True

    def verify(self, request: Request) -> None:
        if not self._claims(request):
            raise RequestRejected(
                403, "no valid token", fix="send it as 'Authorization: Bearer …' or as ?token=…"
            )

    def parse(self, request: Request) -> list[InboundMessage]:
        claims = self._claims(request)
        user = claims.get("username")
        if not isinstance(user, str) or not user.strip():
            raise RequestRejected(403, "the token has no 'username'")
        conversation = request.json_object().get("conversation_id")
        if conversation is None:
            conversation = user
        if not isinstance(conversation, str) or not conversation.strip():
            raise RequestRejected(400, "'conversation_id' must be a JSON string")
        if conversation != user and ANY_CONVERSATION not in (claims.get("scopes") or []):
            raise RequestRejected(403, "the token's user may not write in this conversation")
        return [parse_rest(self, request, sender_id=conversation)]

    def _claims(self, request: Request) -> dict[str, Any]:
        """Return the claims of the token; {} if it is missing, not signed or expired."""
        token = _token(request)
        for key in self._keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token.removeprefix("Bearer ").strip(), key.key, algorithms=[key.alg]
                )
            except INVALID:
                continue
            return claims
        return {}


def _token(request: Request) -> str:
    return request.headers.get("authorization") or request.query.get("token", "")


def _has_token(request: Request) -> bool:
    """Return whether there is something that keys could check."""
    return _token(request).count(".") == 2
