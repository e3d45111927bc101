"""Bodies: writes that of a request as JSON, and decompresses that of a response, up to a limit."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

ENCODINGS = ("gzip", "deflate")
"""The content codings that are understood."""
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""gzip's or zlib's header, whichever there is."""
_PLAIN = {str, int, bool, type(None)}
"""Types whose values msgspec and json write alike. Not float: NaN and infinity differ."""
_TEXT = {str}
_encoder = msgspec.json.Encoder()


class IncompleteBody(Exception):
    """The body cannot be read to its end; the text completes "a body that is …"."""


def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body without its content coding.

    Raises:
        IncompleteBody: the result is longer than `limit` bytes, or the body cannot be decompressed.
    """
    if encoding.strip().lower() in ("", "identity") or not body:
        return body
    if encoding.strip().lower() not in ENCODINGS:
        raise IncompleteBody("in an unknown content coding")
    for bits in (_ANY_HEADER, -zlib.MAX_WBITS):
        # Some servers send "deflate" without zlib's header.
        unzip = zlib.decompressobj(bits)
        try:
            plain = unzip.decompress(body, limit + 1)
        except zlib.error:
            continue
        if len(plain) > limit:
            raise IncompleteBody("longer than 1 MiB")
        if not unzip.eof:
            raise IncompleteBody("cut off")
        return plain
    raise IncompleteBody("not what its content coding says")


def as_json(value: Any) -> bytes:
    """Return a value as JSON in ASCII, which no service can decode wrongly.

    Raises:
        TypeError, ValueError, RecursionError: it cannot be written as JSON.
    """
    if _is_plain(value):
        try:
            # In a fraction of the time, and without blanks.
            if (content := _encoder.encode(value)).isascii():
                return content
        except ValueError:
            pass  # half of a surrogate pair
    return json.dumps(value).encode()


def as_form(fields: Mapping[str, str] | Sequence[tuple[str, str]]) -> bytes:
    """Return a URL-encoded form.

    Raises:
        TypeError, ValueError: it cannot be written as one.
    """
    return urlencode(fields).encode()


def _is_plain(value: Any) -> bool:
    """Return whether msgspec writes a value as json does: it also writes sets, bytes and dates."""
    kind = type(value)
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list:
        return kind in _PLAIN
    return _PLAIN.issuperset(map(type, value)) or all(map(_is_plain, value))
