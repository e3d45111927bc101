"""Which request heads are accepted: those that every HTTP parser reads alike (RFC 9112).

A head that two parsers read differently hides a second request in the body of the first. Sanic
21.12 also loops for ever on a negative Content-Length. So whatever is unusual is refused.
"""

from __future__ import annotations

import re

_NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""The name of a header or method (RFC 9110 §5.6.2)."""
_TOKEN = re.compile(_NAME)
_HEADERS = re.compile(rb"(?:\r\n" + _NAME + rb":[^\x00-\x08\x0a-\x1f\x7f]*)*")
_FRAMING = re.compile(rb"(?i)\r\n(content-length|transfer-encoding):[ \t]*([^\r]*)")
"""The headers that tell where the body ends."""
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
CHUNK_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
"""The line before a chunk, without its line end; the extension is ignored."""


class BadFraming(Exception):
    """The head is not accepted; the text says what to send."""


def body_length(head: bytes) -> int | None:
    """Return the bytes of the body that a request head announces; None means chunked.

    `head` is everything before the empty line.

    Raises:
        BadFraming: the head is ambiguous or malformed.
    """
    request_line, line_end, headers = head.partition(b"\r\n")
    if _CONTROL.search(request_line) or not _TOKEN.fullmatch(request_line.partition(b" ")[0]):
        raise BadFraming("the request line is malformed")
    headers = line_end + headers
    if not _HEADERS.fullmatch(headers):
        raise BadFraming("a header is malformed")
    framing = _FRAMING.findall(headers)
    if not framing:
        return 0
    if len(framing) > 1:
        raise BadFraming("send one Content-Length, or Transfer-Encoding: chunked, and not both")
    ((name, value),) = framing
    if name.lower() == b"content-length":
        if not _LENGTH.fullmatch(value):
            raise BadFraming("Content-Length must be one decimal number")
        return int(value)
    if value != b"chunked" or request_line.endswith(b" HTTP/1.0"):
        raise BadFraming("the only Transfer-Encoding is chunked, in HTTP/1.1")
    return None
