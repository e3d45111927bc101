"""What is parsed without aiohttp's parser is what that parser finds in the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp.client_proto import ResponseHandler
from hypothesis import given, settings, strategies as st

from bridge.http.plain import LONGEST_HEAD, MOST_HEADS, Handler, _announced, plain

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"

heads = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 201 ", b"HTTP/1.1 204 No Content", b"HTTP/1.1 500 \xe9!"),
        *(b"HTTP/1.0 200 OK", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 304 Not Modified"),
        *(b"http/1.1 200 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 600 OK", b"HTTP/1.1 20 OK", b"HTTP"),
    ]
)
lines = st.sampled_from(
    [
        *(b"Content-Length: 2", b"content-length:2", b"CONTENT-LENGTH: \t2 ", b"Content-Length: 3"),
        *(b"Content-Length: +2", b"Content-Length: 2, 2", b"Content-Length: 0x2"),
        *(b"Content-Length:", b"Content-Length : 2", b" Content-Length: 2"),
        *(b"X: a\r\n b", b"X: a\rContent-Length: 3", b"X", b"", b": x"),
        *(b"Transfer-Encoding: chunked", b"transfer-encoding: identity", b"Content-Encoding: gzip"),
        *(b"Connection: close", b"Connection: keep-alive", b"Connection: Keep-Alive, x"),
        *(b"X: \x00", b"X: \n", b"X: Content-Length: 9", b"X-Content-Length: 9", b"X: \xff"),
        *(b"Connection: upgrade\r\nUpgrade: h2c", b"Retry-After: 7", "X: é".encode()),
    ]
)
bodies = st.sampled_from([b"", b"hi", b"hi!", b"0\r\n\r\n", b"hi" + OK])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Return a response, or what a confused or hostile server sends instead."""
    head = [draw(heads), *draw(st.lists(lines, max_size=4))]
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    return end.join([*head, b"", b""]) + draw(bodies)


@settings(max_examples=1000, deadline=None)
@given(responses())
def test_a_plain_response_is_what_aiohttp_finds(data: bytes) -> None:
    found = plain(data)
    if found is None:
        return

    async def parsed() -> tuple[int, bytes, bool, dict[str, str]]:
        handler = ResponseHandler(asyncio.get_running_loop())
        handler.set_response_params(read_until_eof=True, auto_decompress=False)
        handler.data_received(data)
        message, body = await handler.read()
        content = await body.read() if body.is_eof() else b"more"
        return message.code, content, handler.should_close, values(message.headers)

    theirs = asyncio.run(parsed())
    assert (found.status, found.body, False, values(found.headers)) == theirs


def values(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the first value of each header. Old versions of aiohttp leave space at its end."""
    return {name.lower(): headers[name].strip() for name in headers}


@pytest.mark.parametrize(
    "data",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
        b"HTTP/1.1 429 Too Many\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_usual_responses_are_plain(data: bytes) -> None:
    assert plain(data)


def test_headers_are_found_in_any_case() -> None:
    found = plain(b"HTTP/1.1 429 X\r\nRetry-After: 7 \r\nX: \xc3\xa9\r\nContent-Length: 0\r\n\r\n")
    assert found
    assert found.headers["RETRY-AFTER"] == "7"
    assert dict(found.headers) == {"Retry-After": "7", "X": "é", "Content-Length": "0"}
    assert found.headers.get("y") is None


async def test_what_arrives_without_a_call_is_left_to_aiohttp() -> None:
    handler = Handler(asyncio.get_running_loop())
    handler.data_received(OK)
    assert handler.should_close


async def test_a_response_in_pieces_is_left_to_aiohttp() -> None:
    handler = Handler(asyncio.get_running_loop())
    answer = handler.answer = asyncio.get_running_loop().create_future()
    for n in range(len(OK)):
        handler.data_received(OK[n : n + 1])
    assert await answer is None
    message, body = await handler.read()
    assert (message.code, await body.read()) == (200, b"hi")
    assert not handler.should_close


def test_what_is_known_of_a_head_says_nothing_of_the_body() -> None:
    for body in (b"hi", b"ho"):
        response = plain(OK[:-2] + body)
        assert response is not None
        assert response.body == body
    for broken in (OK[:-1], OK + b"!", OK + OK):
        assert plain(broken) is None


def test_heads_that_are_kept_are_few_and_short() -> None:
    for n in range(2 * MOST_HEADS):
        assert plain(OK.replace(b"text/plain", b"%d" % n)) is not None
    known = _announced.cache_info()
    assert known.currsize <= MOST_HEADS
    assert plain(OK.replace(b"text/plain", LONGEST_HEAD * b"x")) is None
    assert _announced.cache_info() == known
