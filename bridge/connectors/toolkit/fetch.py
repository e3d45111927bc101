"""What a webhook must ask a service before it can take a request. If it cannot: 503, send again."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.errors import DeliveryError, RequestRejected
from bridge.http.client import Check, HttpClient, Response

TIMEOUT = 8.0
"""Seconds. Whoever posts to us waits, and Webex for instance gives up after 15."""


async def fetch(
    url: str, *, headers: Mapping[str, str] | None = None, check: Check | None = None
) -> Response:
    """GET a URL.

    Raises:
        RequestRejected: 503, there is no answer, or `check` (else the status) says that it is none.
    """
    try:
        async with HttpClient(TIMEOUT) as http:
            return await http.get(url, headers=headers, check=check)
    except DeliveryError as error:
        raise RequestRejected(503, f"not accepted, send it again: {error}") from error
