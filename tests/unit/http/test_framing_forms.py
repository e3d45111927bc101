"""Every head is either refused, or framed as its headers say when they are read one by one."""

from __future__ import annotations

import re

from hypothesis import given, strategies as st

from bridge.http.framing import BadFraming, body_length

PARTS = (
    *(b"\r\n", b"\r\n", b"Content-Length", b"content-LENGTH", b"Transfer-Encoding", b": ", b":"),
    *(b"5", b"0", b"chunked", b"\t", b" ", b"\r", b"\n", b"X", b"Host: x", b"\x00", b"\xff"),
)
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def one_by_one(headers: bytes) -> int | None:
    """Read each line for itself. Raises BadFraming."""
    framing = []
    for line in headers.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise BadFraming
        if any((byte < 0x20 and byte != 9) or byte == 0x7F for byte in value):
            raise BadFraming
        if name.lower() in (b"content-length", b"transfer-encoding"):
            framing.append((name.lower(), value.lstrip(b" \t")))
    if not framing:
        return 0
    if len(framing) == 1 and framing[0] == (b"transfer-encoding", b"chunked"):
        return None
    if len(framing) == 1 and framing[0][0] == b"content-length" and framing[0][1].isdigit():
        return int(framing[0][1])
    raise BadFraming


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join))
def test_a_head_is_read_as_line_by_line(rest: bytes) -> None:
    headers = b"\r\n" + rest
    try:
        expected: int | str | None = one_by_one(headers)
    except BadFraming:
        expected = "refused"
    try:
        found: int | str | None = body_length(b"POST / HTTP/1.1" + headers)
    except BadFraming:
        found = "refused"
    assert found == expected
