"""Calls that a webhook makes before it can accept a request. If one fails, the answer is a 503."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from bridge.errors import DeliveryError, RequestRejected
from bridge.http.client import Check, HttpClient, Response

log = logging.getLogger(__name__)

TIMEOUT = 8.0
"""Seconds for one call. The sender of the request waits; Webex, for example, gives up after 15."""


async def fetch(
    url: str, *, headers: Mapping[str, str] | None = None, check: Check | None = None
) -> Response:
    """GET a URL and return the response.

    `check` raises a DeliveryError for an unusable response; default `raise_for_status`.

    Raises:
        RequestRejected: 503, there is no response, or `check` refused it.
    """
    try:
        async with HttpClient(TIMEOUT) as http:
            return await http.get(url, headers=headers, check=check)
    except DeliveryError as error:
        raise not_accepted(error) from error


def not_accepted(cause: object) -> RequestRejected:
    """Return the 503 for a request that the sender must send again; log the cause."""
    log.warning("a call that a request needs has failed: %s", cause)
    return RequestRejected(503, "not accepted, send it again")
