"""One incoming HTTP request as plain data, and the readers of its body."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import msgspec

from bridge.errors import RequestRejected
from bridge.http.direct import Arrived

if TYPE_CHECKING:
    from sanic import Request as SanicRequest

MAX_BODY = 1024 * 1024
"""Bytes of a request body, unless the channel has a smaller limit; a larger one is a 413."""
SHORT_BODY = 128 * 1024
"""Bytes that suffice for services whose events hold one message each."""
MAX_FIELDS = 1000
"""Fields of a form."""
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
"""Content types."""

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One incoming HTTP request.

    Header names are lower case, and `url` is absolute. Of a query parameter or header that occurs
    more than once, only one value is kept.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters such as `charset`; '' if missing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            RequestRejected: 400, the body is not JSON.
        """
        try:
            # Its values are those of the decoder below, but it refuses some texts that are JSON.
            return _quick.decode(self.body)
        except (ValueError, RecursionError):
            pass
        try:
            return _decoder.decode(
                self.body.decode(json.detect_encoding(self.body), "surrogatepass")
            )
        except (ValueError, RecursionError) as error:
            raise RequestRejected(
                400, "the body is not JSON", fix="send a JSON object, UTF-8 encoded"
            ) from error

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            RequestRejected: 400, the body is not a JSON object.
        """
        try:
            value = _quick.decode(self.body)  # as `json` does
        except (ValueError, RecursionError):
            value = self.json()
        if not isinstance(value, dict):
            raise RequestRejected(400, f"the body is a JSON {type(value).__name__}, not an object")
        return value

    def decode(self, shape: type[T]) -> T:
        """Return the JSON body as a msgspec type, such as a Struct; unknown keys are ignored.

        Raises:
            RequestRejected: 400, the body is not JSON, or does not have this shape.
        """
        return decode_json(self.body, shape)

    def form(self) -> dict[str, str]:
        """Return the fields of a form, each with its first value.

        Raises:
            RequestRejected: 400, see `fields`.
        """
        return {name: values[0] for name, values in self.fields().items()}

    def fields(self) -> dict[str, list[str]]:
        """Return the fields of a form, each with all of its values.

        Raises:
            RequestRejected: 400, the body is not a UTF-8 form, or has more than 1000 fields.
        """
        try:
            return parse_qs(
                self.body.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError as error:
            raise RequestRejected(400, "the body is not a URL-encoded form in UTF-8") from error


class _Received(Request):
    """A request whose URL is put together when it is needed: few services sign it."""

    _request: SanicRequest | Arrived

    @cached_property
    def url(self) -> str:
        return str(self._request.url)


def _finite(number: str) -> float:
    """Refuse NaN and Infinity, which Python accepts: they are not JSON and would become null."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


_quick = msgspec.json.Decoder()
_decoder = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)


def decode_json(body: bytes | str, shape: type[T]) -> T:
    """Return JSON as a msgspec type, such as a Struct; unknown keys are ignored.

    Raises:
        RequestRejected: 400, the text is not JSON, or does not have this shape. The error names
            the place and quotes no value.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise RequestRejected(400, f"the body does not have the expected shape: {error}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RequestRejected(400, "the body is not JSON, UTF-8 encoded") from error


def expect_json(request: Request) -> None:
    """Raise if the content type is not JSON.

    Raises:
        RequestRejected: 415.
    """
    if request.content_type != JSON:
        raise RequestRejected(415, f"send {JSON}")


def plain_request(request: SanicRequest | Arrived) -> Request:
    """Return a request of the server as plain data.

    Raises:
        RequestRejected: 413, the body is larger than `MAX_BODY`.
    """
    if len(request.body) > MAX_BODY:
        raise RequestRejected(413, f"the body is larger than {MAX_BODY} bytes")
    if isinstance(request, Arrived):
        headers, query = request.headers, {}
    else:
        args = request.args.items() if request.query_string else ()
        headers = dict(request.headers.items())  # Sanic has made the names lower case
        query = {key: values[0] for key, values in args}
    received = object.__new__(_Received)  # a copy, by `dataclasses.replace`, is made as usual
    received.__dict__.update(
        _request=request,
        method=request.method,
        headers=headers,
        query=query,
        body=request.body,
    )
    return received
