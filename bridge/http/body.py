"""Decompresses the body of a response, up to a limit."""

from __future__ import annotations

import zlib

ENCODINGS = ("gzip", "deflate")
"""The content codings that are understood."""
_ANY_HEADER = 32 + zlib.MAX_WBITS
"""gzip's or zlib's header, whichever there is."""


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
