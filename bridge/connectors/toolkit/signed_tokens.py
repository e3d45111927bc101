"""JSON web tokens that a shared or public key signs, with the keys `jwt_…` of Rasa."""

from __future__ import annotations

from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms

from bridge.errors import SettingsError

INVALID = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What PyJWT raises for a token that is not one."""


class SignedTokens:
    """Checks tokens with one key and one algorithm."""

    def __init__(self, key: str, method: str) -> None:
        """
        Raises:
            SettingsError: the method is not an algorithm that signs.
        """
        if method not in {*get_default_algorithms()} - {"none"}:
            raise SettingsError(
                "key 'jwt_method' must be a JWT algorithm", fix="use HS256 or RS256, for example"
            )
        self._key = key
        self._method = method

    def claims(self, token: str) -> dict[str, Any]:
        """Return the claims of a token; {} if it is not valid, or has none."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token.removeprefix("Bearer ").strip(), self._key, algorithms=[self._method]
            )
        except INVALID:
            return {}
        return claims
