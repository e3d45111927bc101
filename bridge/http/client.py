"""HTTP calls to external services. The only home of aiohttp's client.

Each failure leaves this file as a `RetryableDeliveryError` or a `RejectedDeliveryError`.

A service is not trusted with our memory: at most `LONGEST_BODY` bytes of a response are kept,
before and after decompression. Once its status has arrived, the status decides; a body that is too
long or breaks off matters only to those who read it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

import aiohttp

from bridge.errors import (
    DeliveryError,
    RejectedDeliveryError,
    RetryableDeliveryError,
    Scope,
    ServiceUnavailable,
    finite,
)
from bridge.http.body import ENCODINGS, IncompleteBody, decoded
from bridge.telemetry import calls

TIMEOUT = 15.0
"""Seconds for one call, connection included."""
LONGEST_BODY = 1024 * 1024
"""Bytes of a response's body that are read, compressed or not."""
RETRYABLE = {408, 425, 429}
"""The 4xx statuses that ask for a later retry, like every 5xx."""


@dataclass(frozen=True)
class Response:
    """The response of a service."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    incomplete: str = ""
    """Why the body is not complete, for example "longer than 1 MiB"; "" if it is."""

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            RetryableDeliveryError: it is not complete, or not JSON: the error page of a proxy.
        """
        if self.incomplete:
            raise RetryableDeliveryError(f"HTTP {self.status} whose body is {self.incomplete}")
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise RetryableDeliveryError(f"HTTP {self.status} whose body is not JSON") from error

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty one if it is anything else."""
        try:
            value = self.json()
        except RetryableDeliveryError:
            return {}
        return value if isinstance(value, dict) else {}


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
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post_json(
        self,
        url: str,
        body: Any,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Response:
        """POST a JSON body; return the service's response once `check` has accepted it.

        `check` raises the error that a response means; the default is `raise_for_status`.
        `basic_auth` is (user, password), `proxy` a URL.

        Raises:
            ServiceUnavailable: no connection.
            RetryableDeliveryError: timeout, 408, 425, 429 or 5xx, with the response's Retry-After.
            RejectedDeliveryError: any other status, or a body or URL that cannot be sent.
        """
        return await self._call(
            "POST", url, headers, params, basic_auth, proxy, check, {"json": body}
        )

    async def post_bytes(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        check: Check | None = None,
    ) -> Response:
        """POST a body byte for byte, for bodies that are signed; otherwise like `post_json`."""
        headers = {**(headers or {}), "Content-Type": content_type}
        return await self._call("POST", url, headers, None, None, None, check, {"data": body})

    async def post_form(
        self,
        url: str,
        fields: Mapping[str, str] | Sequence[tuple[str, str]],
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Response:
        """POST a URL-encoded form (pairs, if a field occurs twice); otherwise like `post_json`."""
        pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
        return await self._call(
            "POST", url, headers, params, basic_auth, proxy, check, {"data": pairs}
        )

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        check: Check | None = None,
    ) -> Response:
        """GET a URL; otherwise like `post_json`."""
        return await self._call("GET", url, headers, params, basic_auth, proxy, check, {})

    async def _call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        params: Mapping[str, str] | None,
        basic_auth: tuple[str, str] | None,
        proxy: str | None,
        check: Check | None,
        body: dict[str, Any],
    ) -> Response:
        assert self._session is not None, "use HttpClient with 'async with'"
        try:
            async with self._session.request(
                method,
                url,
                allow_redirects=False,
                headers={**(headers or {}), **(authorization(*basic_auth) if basic_auth else {})},
                params=dict(params) if params else None,
                proxy=proxy,
                **body,
            ) as answer:
                response = await _read(answer)
                calls.answered(response.status)
        except aiohttp.ClientConnectorError as error:
            raise ServiceUnavailable(f"no connection: {error.os_error or error}") from error
        except aiohttp.ServerTimeoutError as error:
            raise ServiceUnavailable("no connection in time") from error
        except asyncio.TimeoutError as error:
            raise RetryableDeliveryError("the service did not answer in time") from error
        except aiohttp.InvalidURL:
            # The URL is not quoted, because it may contain a token.
            raise RejectedDeliveryError("the call cannot be made: invalid URL") from None
        except (TypeError, ValueError) as error:
            raise RejectedDeliveryError(f"the call cannot be made: {error}") from error
        except aiohttp.ClientError as error:
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


async def _read(answer: aiohttp.ClientResponse) -> Response:
    """Return the response with as much of its body as can be had."""
    body, incomplete = b"", ""
    try:
        raw = await _limited(answer)
        body = decoded(raw, answer.headers.get("Content-Encoding", ""), LONGEST_BODY)
    except IncompleteBody as error:
        incomplete = str(error)
    except (asyncio.TimeoutError, aiohttp.ClientError) as error:
        incomplete = f"not complete ({type(error).__name__})"
    if incomplete:
        # The rest is not wanted, so the connection is of no further use.
        answer.close()
    return Response(answer.status, dict(answer.headers), body, incomplete)


async def _limited(answer: aiohttp.ClientResponse) -> bytes:
    chunks, length = [], 0
    async for chunk in answer.content.iter_any():
        length += len(chunk)
        if length > LONGEST_BODY:
            raise IncompleteBody("longer than 1 MiB")
        chunks.append(chunk)
    return b"".join(chunks)


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
