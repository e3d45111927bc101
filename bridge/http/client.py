"""HTTP calls to external services. The only home of aiohttp's client.

Each failure leaves this file as a `RetryableDeliveryError` or a `RejectedDeliveryError`.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from bridge.errors import (
    DeadlineExceeded,
    DeliveryError,
    RejectedDeliveryError,
    RetryableDeliveryError,
    Scope,
    ServiceUnavailable,
    finite,
)
from bridge.http.body import ENCODINGS, as_form, as_json
from bridge.http.exchange import Exchange
from bridge.http.received import LONGEST_BODY, Response, received
from bridge.http.unreachable import unreachable
from bridge.runtime import work

__all__ = ["LONGEST_BODY", "HttpClient", "Response", "raise_for_status"]

TIMEOUT = 15.0
"""Seconds for one call, connection included."""
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
RETRYABLE = {408, 425, 429}
"""The 4xx statuses that ask for a later retry, like every 5xx."""


class HttpClient:
    """A pool of HTTP connections; use it with `async with`."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        """`timeout` limits one whole call, in seconds."""
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(5.0, timeout / 2))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpClient:
        # No cookie jar: a cookie of one recipient must not travel with the reply to another.
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            # No limit here: `processing.admission` limits concurrent calls, and stalled calls would
            # keep others from getting a connection.
            connector=aiohttp.TCPConnector(limit=0),
            # aiohttp would decompress a whole chunk, however long the result is.
            auto_decompress=False,
            headers={"Accept-Encoding": ", ".join(ENCODINGS)},
        )
        self._exchange = Exchange(self._session)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        self._exchange.close()
        await self._session.close()

    def post_json(
        self,
        url: str,
        body: Any,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """POST a JSON body; return the service's response once `check` has accepted it.

        `check` raises the error that a response means; the default is `raise_for_status`.
        `basic_auth` is (user, password), `proxy` a URL.

        Raises:
            ServiceUnavailable: no connection.
            RetryableDeliveryError: timeout, 408, 425, 429 or 5xx, with the response's Retry-After.
            RejectedDeliveryError: any other status, or a body or URL that cannot be sent.
        """
        content = _encoded(as_json, body)
        return self._call(url, headers, params, basic_auth, proxy, check, content, JSON)

    def post_bytes(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        check: Check | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """POST a body byte for byte, for bodies that are signed; otherwise like `post_json`."""
        return self._call(url, headers, None, None, None, check, body, content_type)

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str] | Sequence[tuple[str, str]],
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """POST a URL-encoded form (pairs, if a field occurs twice); otherwise like `post_json`."""
        content = _encoded(as_form, fields)
        return self._call(url, headers, params, basic_auth, proxy, check, content, FORM)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Coroutine[Any, Any, Response]:
        """GET a URL; otherwise like `post_json`."""
        return self._call(url, headers, params, basic_auth, proxy, check)

    async def _call(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        basic_auth: tuple[str, str] | None,
        proxy: str | None,
        check: Check | None,
        content: bytes | None = None,
        content_type: str = "",
    ) -> Response:
        """POST a body, or GET without one."""
        assert self._session is not None, "use HttpClient with 'async with'"
        headers = headers or {}
        if basic_auth:
            headers = {**headers, **authorization(*basic_auth)}
        try:
            response = None
            if content is not None and proxy is None:
                response = await self._exchange.post(url, params, headers, content, content_type)
            if response is None:
                response = await self._by_session(
                    url, headers, params, proxy, content, content_type
                )
            work.answered(response.status)
        except aiohttp.ClientConnectorError as error:
            raise unreachable(error) from error
        except aiohttp.ServerTimeoutError as error:
            raise ServiceUnavailable("no connection in time") from error
        except (asyncio.TimeoutError, DeadlineExceeded) as error:
            raise RetryableDeliveryError("the service did not answer in time") from error
        except aiohttp.InvalidURL:
            # The URL is not quoted, because it may contain a token.
            raise RejectedDeliveryError("the call cannot be made: invalid URL") from None
        except (TypeError, ValueError) as error:
            raise RejectedDeliveryError(f"the call cannot be made: {error}") from error
        except (HttpProcessingError, aiohttp.ClientResponseError) as error:
            raise RetryableDeliveryError("the service's answer is not HTTP") from error
        except (aiohttp.ClientError, OSError) as error:
            number = getattr(error, "errno", None)  # the text of the error may contain the URL
            cause = os.strerror(number) if number else type(error).__name__
            raise RetryableDeliveryError(f"connection failed: {cause}") from error
        try:
            (check or raise_for_status)(response)
        except DeliveryError as error:
            if response.status >= 300:  # else the body tells the error, and the status nothing
                error.status = response.status
            raise
        return response

    async def _by_session(
        self,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        proxy: str | None,
        content: bytes | None,
        content_type: str,
    ) -> Response:
        """Make a call with aiohttp's session."""
        assert self._session is not None
        if content is not None and not any(k.lower() == "content-type" for k in headers):
            headers = {**headers, "Content-Type": content_type}
        async with self._session.request(
            "GET" if content is None else "POST",
            url,
            allow_redirects=False,
            headers=headers,
            params=dict(params) if params else None,
            proxy=proxy,
            data=content,
        ) as answer:
            response = await received(answer.status, answer.headers, answer.content)
            if response.incomplete:
                answer.close()  # the connection is of no further use
            return response


Check = Callable[[Response], None]
"""Raises the DeliveryError that a response stands for, if any."""


def raise_for_status(response: Response, scope: Scope = "recipient") -> None:
    """Raise the error for a status other than 2xx.

    `scope` tells whom the service's Retry-After concerns.

    Raises:
        RetryableDeliveryError: 408, 425, 429 or 5xx.
        RejectedDeliveryError: any other status.
    """
    if 200 <= response.status < 300:
        return
    if response.status in RETRYABLE or response.status >= 500:
        raise RetryableDeliveryError(
            f"HTTP {response.status}",
            retry_after=parse_retry_after(response.headers),
            scope=scope,
        )
    raise RejectedDeliveryError(f"HTTP {response.status}")


def _encoded(encode: Callable[[Any], bytes], value: Any) -> bytes:
    """Return an encoded body, or raise RejectedDeliveryError."""
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise RejectedDeliveryError(f"the call cannot be made: {error}") from error


def authorization(user: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic authentication (RFC 7617).

    aiohttp deprecates its own class for it.
    """
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header (number or date, RFC 9110 §10.2.3), at least 0.

    None means that there is no such header, or that it is neither.
    """
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), None)
    if value is None:
        return None
    try:
        return finite(float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=timezone.utc)
        return finite((until - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
