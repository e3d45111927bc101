"""A response as it was received, with as much of its body as can be had.

A service is not trusted with our memory: at most `LONGEST_BODY` bytes of a response are kept,
before and after decompression. Once its status has arrived, the status decides; a body that is too
long or breaks off matters only to those who read it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import aiohttp
import msgspec

from bridge.errors import DeadlineExceeded, RetryableDeliveryError
from bridge.http.body import IncompleteBody, decoded
from bridge.runtime.deadline import deadline

LONGEST_BODY = 1024 * 1024
"""Bytes of a response's body that are read, compressed or not."""


class Response(msgspec.Struct, frozen=True):
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


async def received(
    status: int,
    headers: Mapping[str, str],
    content: aiohttp.StreamReader,
    seconds: float | None = None,
) -> Response:
    """Return a response whose head has arrived, and whose body arrives within so many seconds.

    Without `seconds`, somebody else limits the time.
    """
    body, incomplete = b"", ""
    try:
        # Nearly always, the body has arrived with the head.
        raw = content.read_nowait() if content.is_eof() else await _arriving(content, seconds)
        if len(raw) > LONGEST_BODY:
            raise IncompleteBody("longer than 1 MiB")
        body = decoded(raw, headers.get("Content-Encoding", ""), LONGEST_BODY)
    except IncompleteBody as error:
        incomplete = str(error)
    except (asyncio.TimeoutError, DeadlineExceeded, aiohttp.ClientError) as error:
        incomplete = f"not complete ({type(error).__name__})"
    return Response(status, headers, body, incomplete)


async def _arriving(content: aiohttp.StreamReader, seconds: float | None) -> bytes:
    """Return the body, or more than `LONGEST_BODY` bytes of it."""
    chunks, length = [], 0
    with nullcontext() if seconds is None else deadline(seconds):
        async for chunk in content.iter_any():
            length += len(chunk)
            chunks.append(chunk)
            if length > LONGEST_BODY:
                break
    return b"".join(chunks)
