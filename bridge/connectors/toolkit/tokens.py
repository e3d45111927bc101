"""Tokens that a service sends along to prove itself, compared in constant time."""

from __future__ import annotations

import hmac


def token_list(value: str | list[str] | None) -> list[str]:
    """Return the tokens of a key that takes one or several; blank ones are none."""
    values = [value] if isinstance(value, str) else value or []
    return [token.strip() for token in values if token.strip()]


def is_one_of(given: str | None, tokens: list[str]) -> bool:
    """Whether a token is one of those; looks at each of them."""
    found = False
    for token in tokens:
        found |= hmac.compare_digest(
            (given or "").encode(errors="replace"), token.encode(errors="replace")
        )
    return found
