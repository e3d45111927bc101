"""Calls to Meta's Graph API: the app secret proof, and the errors of its responses.

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
"""Meta serves a version for at least two years, and then the oldest version still available."""

RETRYABLE = frozenset({1, 2, 4, 17, 32, 341, 613, 1200, 80006, 80007})
"""Temporary errors: overload, and rate limits."""
LIMITS = frozenset({4, 17, 32, 341, 613, 80006, 80007})
"""Rate limits of the app, the page or the account: a wait concerns the whole channel."""
UNAVAILABLE = frozenset({0, 3, 102, 190, 230, 368})
"""Errors of every call until the token, its permissions or the account are fixed."""
PERMISSIONS = frozenset({10, *range(200, 300)})
"""A missing permission, which affects every call; with a subcode, it affects one recipient."""


def proof_of(token: str, secret: str) -> dict[str, str]:
    """Return the query parameters that prove the possession of the app secret; {} without one.

    Meta requires them only if the app's settings say so.
    """
    if not secret:
        return {}
    return {"appsecret_proof": hmac.new(secret.encode(), token.encode(), "sha256").hexdigest()}


def raise_for_graph(
    response: Response,
    service: str,
    token_key: str,
    secret_key: str,
    retryable: Collection[int] = (),
    unavailable: Collection[int | tuple[int, int]] = (),
    limits: Collection[int] = (),
) -> None:
    """Raise the error for a response of the Graph API.

    `retryable`, `unavailable` and `limits` add codes of the service to the common ones; a tuple is
    a code with a subcode. Meta's messages are not quoted: they may contain parts of the token or
    text.
    """
    answer = response.json_object()
    error = answer.get("error")
    if not isinstance(error, dict):
        if response.status == 401:
            raise ServiceUnavailable(f"{service}: HTTP 401", fix=f"check '{token_key}'")
        raise_for_status(response)
        if not isinstance(response.json(), dict):
            raise RetryableDeliveryError(f"{service}: the response is not a JSON object")
        return
    code, subcode = error.get("code"), error.get("error_subcode")
    what = f"{service}: error {code}" + (f"/{subcode}" if subcode else "")
    if "appsecret_proof" in str(error.get("message")):
        # Meta's message is the only sign of a missing or wrong proof: the code is 100 (invalid
        # parameter) without a subcode, https://github.com/Yoctol/bottender/issues/271.
        raise ServiceUnavailable(
            what, fix=f"check that '{secret_key}' belongs to the app that issued '{token_key}'"
        )
    if code in UNAVAILABLE or code in unavailable or (code, subcode) in unavailable:
        raise ServiceUnavailable(what, fix=f"check '{token_key}' and the account")
    if code in PERMISSIONS and not subcode:
        raise ServiceUnavailable(what, fix=f"check the permissions of '{token_key}'")
    wait = wait_of(response.headers)
    if code in LIMITS or code in limits:
        raise RetryableDeliveryError(what, retry_after=wait, scope="channel")
    if code in RETRYABLE or code in retryable or error.get("is_transient") is True:
        raise RetryableDeliveryError(what, retry_after=wait)
    if response.status == 401:
        raise ServiceUnavailable(what, fix=f"check '{token_key}'")
    if response.status == 429 or response.status >= 500:
        raise RetryableDeliveryError(what, retry_after=wait)
    raise RejectedDeliveryError(what, code=code)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Meta asks to wait: Retry-After, else its usage header, else None."""
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
    except (AttributeError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    return 60 * max(minutes) if minutes and max(minutes) > 0 else None
