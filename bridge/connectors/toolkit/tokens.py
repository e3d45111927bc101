"""Tokens with which a service authenticates its requests; compared in constant time."""

from __future__ import annotations

import hmac

from bridge.connectors.toolkit.request import Request


def token_list(value: str | list[str] | None) -> list[str]:
    """Return the tokens of a key that accepts one or a list; blank tokens are left out."""
    values = [value] if isinstance(value, str) else value or []
    return [token.strip() for token in values if token.strip()]


def is_one_of(given: str | None, tokens: list[str]) -> bool:
    """Return whether a token is in a list; always compares with every token."""
    found = False
    for token in tokens:
        found |= hmac.compare_digest(
            (given or "").encode(errors="replace"), token.encode(errors="replace")
        )
    return found


def bearer_token(request: Request) -> str:
    """Return the token of `Authorization: Bearer …`, or '' if there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
