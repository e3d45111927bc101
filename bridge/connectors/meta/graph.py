"""Calls of Meta's Graph API: their proof, and what its answers mean.

https://developers.facebook.com/docs/graph-api/guides/error-handling, …/guides/secure-requests and
…/overview/rate-limiting.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import Response, parse_retry_after, raise_for_status

GRAPH = "https://graph.facebook.com/v26.0"
"""A version is served for two years at least; then Meta takes the oldest one that it still has."""

LATER = frozenset({1, 2, 4, 17, 32, 341, 613, 1200, 80006, 80007})
"""Codes that pass by themselves: overload, rate limits of the app, the page, the account."""
CLOSED = frozenset({0, 3, 102, 190, 230, 368})
"""Codes that every call meets until somebody mends the token, its permissions or the account."""
PERMISSIONS = frozenset({10, *range(200, 300)})
"""A missing permission, which concerns every call; with a subcode it is about one recipient."""


def proof_of(token: str, secret: str) -> dict[str, str]:
    """Return the parameters by which a call proves that it is not by a thief of the token.

    None without the app secret: Meta asks for them only where the app says so.
    """
    if not secret:
        return {}
    return {"appsecret_proof": hmac.new(secret.encode(), token.encode(), "sha256").hexdigest()}


def raise_for_graph(
    response: Response,
    service: str,
    token_key: str,
    secret_key: str,
    later: Collection[int] = (),
    closed: Collection[int | tuple[int, int]] = (),
) -> None:
    """Raise what an answer of the Graph API means.

    `later` and `closed`: codes of the service (with a subcode: a tuple) beside those of all.
    Nothing of Meta's messages is quoted: they may hold a part of the token or of the text.
    """
    answer = response.json_object()
    error = answer.get("error")
    if not isinstance(error, dict):
        if response.status == 401:
            raise ServiceUnavailable(f"{service}: HTTP 401: check '{token_key}'")
        raise_for_status(response)
        if not isinstance(response.json(), dict):
            raise RetryableDeliveryError(f"{service} answered no JSON object")
        return
    code, subcode = error.get("code"), error.get("error_subcode")
    what = f"{service}: error {code}" + (f"/{subcode}" if subcode else "")
    if "appsecret_proof" in str(error.get("message")):
        # Missing or wrong; it has no code of its own.
        raise ServiceUnavailable(
            f"{what}: check '{secret_key}', of the app that made '{token_key}'"
        )
    if code in CLOSED or code in closed or (code, subcode) in closed:
        raise ServiceUnavailable(f"{what}: check '{token_key}' and the account")
    if code in PERMISSIONS and not subcode:
        raise ServiceUnavailable(f"{what}: check the permissions of '{token_key}'")
    if code in LATER or code in later or error.get("is_transient") is True:
        raise RetryableDeliveryError(what, retry_after=wait_of(response.headers))
    if response.status == 401:
        raise ServiceUnavailable(f"{what}: check '{token_key}'")
    if response.status == 429 or response.status >= 500:
        raise RetryableDeliveryError(what, retry_after=wait_of(response.headers))
    raise RejectedDeliveryError(what)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Meta asks to wait: Retry-After, or what its usage header says."""
    seconds = parse_retry_after(headers)
    if seconds is not None:
        return seconds
    usage = next((v for k, v in headers.items() if k.lower() == "x-business-use-case-usage"), "{}")
    try:
        minutes = [
            float(limit.get("estimated_time_to_regain_access") or 0)
            for limits in json.loads(usage).values()
            for limit in limits
        ]
    except (AttributeError, TypeError, ValueError):
        return None
    return 60 * max(minutes) if minutes and max(minutes) > 0 else None
