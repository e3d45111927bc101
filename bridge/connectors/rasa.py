"""`rasa`: as `rest`, for users who bring a token of Rasa X or Rasa Enterprise.

Rasa's own channel: rasa/core/channels/rasa_chat.py (3.6). The conversation is the token's
`username`, or what the body says if its user may speak there. The keys that sign tokens come from
`<url>/version`.
"""

from __future__ import annotations

from typing import Any

import jwt
import msgspec

from bridge.connectors.base import Request, Verification
from bridge.connectors.rest import RestConnector, parse_rest
from bridge.errors import DeliveryError, RequestRejected
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage

ANY_CONVERSATION = "clientEvents:create"
"""Scope of a token whose user may speak in every conversation."""
AGAIN_AFTER = 60.0
"""Seconds after which a token that no key signed makes us ask for new keys."""


class Key(msgspec.Struct):
    key: str
    alg: str


class Version(msgspec.Struct):
    keys: list[Key]


class RasaConnector(RestConnector):
    name = "rasa"
    verification = Verification("the user's token")

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        """`url`: of Rasa Enterprise; `timeout`: seconds to wait for a turn, as `rest`."""
        super().__init__(timeout)
        self._url = f"{url.rstrip('/')}/version"
        self._keys: list[Key] = []
        self._asked_at = float("-inf")

    async def prepare(self, request: Request) -> None:
        if self._keys and (self._claims(request) or self.now() < self._asked_at + AGAIN_AFTER):
            return
        try:
            async with HttpClient() as http:
                response = await http.get(self._url)
            self._keys = msgspec.json.decode(response.body, type=Version).keys
        except (DeliveryError, msgspec.DecodeError) as error:
            if not self._keys:
                raise RequestRejected(
                    503, "the keys of tokens are not known: check the channel's 'url'"
                ) from error
        self._asked_at = self.now()

    def verify(self, request: Request) -> None:
        if not self._claims(request):
            raise RequestRejected(403, "no valid token, as 'Authorization: Bearer …' or ?token=…")

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
            raise RequestRejected(403, "the token's user may not speak in this conversation")
        return [parse_rest(self, request, sender_id=conversation)]

    def _claims(self, request: Request) -> dict[str, Any]:
        """Return what the token says; nothing if it is none, is not signed or has expired."""
        token = request.headers.get("authorization") or request.query.get("token", "")
        for key in self._keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    token.removeprefix("Bearer ").strip(), key.key, algorithms=[key.alg]
                )
            except (jwt.PyJWTError, ValueError):
                continue
            return claims
        return {}
