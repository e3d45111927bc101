"""The HTTP response for each of the bridge's errors. The body is always `{"error": …}`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bridge.errors import (
    BridgeError,
    BrokerError,
    MessageError,
    MessageTooLarge,
    RequestRejected,
    TurnFailed,
)
from bridge.http.responses import json_response
from bridge.telemetry import logs

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse

    Handler = Callable[[SanicRequest], Awaitable[HTTPResponse | None]]

log = logging.getLogger(__name__)

RETRY_AFTER = 5
"""Seconds that a sender should wait before it sends again, if the broker refused the message."""


def error_response(error: BridgeError) -> HTTPResponse:
    """Return the response for an error of the bridge.

    It tells what the sender can do, and the log why: the sender may be a stranger.
    """
    if isinstance(error, (RequestRejected, TurnFailed)):
        log.info("answered %d: %s", error.status, error)
        headers = {"Retry-After": str(RETRY_AFTER)} if error.status in (429, 503) else {}
        if isinstance(error, RequestRejected):
            headers |= error.headers
        return json_response({"error": str(error)}, status=error.status, headers=headers)
    if isinstance(error, MessageError):
        # Raised while the message is encoded, for example by half a surrogate pair in a text.
        log.info("answered 400: %s", type(error).__name__)
        return json_response({"error": f"the message cannot be stored: {error}"}, status=400)
    if isinstance(error, MessageTooLarge):
        log.warning("answered 413: %s", error)
        return json_response({"error": "the message is larger than RabbitMQ accepts"}, status=413)
    if isinstance(error, BrokerError):
        log.warning("answered 503: %s", error)
        return json_response(
            {"error": "not accepted; nothing is lost if you send it again"},
            status=503,
            headers={"Retry-After": str(RETRY_AFTER)},
        )
    log.error("answered 500: %s", error)
    return json_response({"error": "internal error; see the log"}, status=500)


def errors_as_responses(channel: str) -> Callable[[Handler], Handler]:
    """Wrap a channel's Sanic handler: the bridge's errors become responses, in any Sanic app."""

    def wrap(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def wrapped(request: SanicRequest) -> HTTPResponse | None:
            with logs.bound(channel=channel):
                try:
                    return await handler(request)
                except BridgeError as error:
                    return error_response(error)

        return wrapped

    return wrap
