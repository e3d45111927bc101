"""One incoming HTTP request as plain data, and its body read as what it must be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from sanic import Request as SanicRequest

from bridge.errors import RequestRejected

MAX_BODY = 1024 * 1024
"""Bytes of a request's body; more is answered 413."""
MAX_FIELDS = 1000
"""Fields of a form."""

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One incoming HTTP request. Header names are lower case; `url` is complete."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters such as `charset`; '' if none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            RequestRejected: 400, the body is not JSON.
        """
        try:
            return json.loads(self.body, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError) as error:
            raise RequestRejected(
                400, "the body is not JSON: send a JSON object, UTF-8 encoded"
            ) from error

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            RequestRejected: 400, the body is not a JSON object.
        """
        value = self.json()
        if not isinstance(value, dict):
            raise RequestRejected(400, f"the body is a JSON {type(value).__name__}, not an object")
        return value

    def decode(self, shape: type[T]) -> T:
        """Return the JSON body as a msgspec struct; keys that it does not have are ignored.

        Raises:
            RequestRejected: 400, the body is not JSON or has another shape.
        """
        return decode_json(self.body, shape)

    def form(self) -> dict[str, str]:
        """Return the fields of a form; of a field that is given twice, the first value.

        Raises:
            RequestRejected: 400, as `fields`.
        """
        return {name: values[0] for name, values in self.fields().items()}

    def fields(self) -> dict[str, list[str]]:
        """Return the fields of a form with all values.

        Raises:
            RequestRejected: 400, the body is no form in UTF-8, or has more than `MAX_FIELDS`.
        """
        try:
            return parse_qs(
                self.body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError as error:
            raise RequestRejected(400, "the body is not an URL-encoded form in UTF-8") from error


def _finite(number: str) -> float:
    """Python's NaN and Infinity are not JSON; on the queue they would become null."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


def decode_json(body: bytes | str, shape: type[T]) -> T:
    """Return JSON as a msgspec struct.

    Raises:
        RequestRejected: 400, it is not JSON or has another shape; says where, and quotes no value.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise RequestRejected(400, f"the body has not the expected shape: {error}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RequestRejected(400, "the body is not JSON, UTF-8 encoded") from error


def plain_request(request: SanicRequest) -> Request:
    """Return Sanic's request as plain data.

    Raises:
        RequestRejected: 413, the body is too large.
    """
    if len(request.body) > MAX_BODY:
        raise RequestRejected(413, f"the body is larger than {MAX_BODY} bytes")
    return Request(
        method=request.method,
        url=request.url,
        headers={key.lower(): value for key, value in request.headers.items()},
        query={key: values[0] for key, values in request.args.items()},
        body=request.body,
    )
