"""Request heads and bodies that parsers read differently, as bytes: refused on both Sanics."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.connectors import rest_table
from tests.integration.connectors.runner import Webhook, a_webhook
from tests.support.raw import Answer, asked, connected, head

PATH = "/webhooks/rest/webhook"
BODY = b'{"sender":"a","message":"b"}'
assert len(BODY) == 28
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"1c\r\n" + BODY + b"\r\n0\r\n\r\n"

GOOD = {
    "one length": (["Content-Length: 28"], BODY),
    "leading zeros": (["Content-Length: 0028"], BODY),
    "no space": (["Content-Length:28"], BODY),
    "lower case": (["content-length: 28"], BODY),
    "chunked": ([CHUNKED], CHUNKS),
    "upper case hex": ([CHUNKED], b"1C\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "two chunks": ([CHUNKED], b"8\r\n" + BODY[:8] + b"\r\n14\r\n" + BODY[8:] + b"\r\n0\r\n\r\n"),
    "chunk extension": ([CHUNKED], b"1c;a=b\r\n" + BODY + b"\r\n0;c\r\n\r\n"),
    "expected": (["Content-Length: 28", "Connection: close"], BODY),
}
BAD_HEADS = [
    ["Content-Length: -1"],
    ["Content-Length: -28"],
    ["Content-Length: +28"],
    ["Content-Length: 2_8"],
    ["Content-Length: 0x1c"],
    ["Content-Length: 28.0"],
    ["Content-Length: 2 8"],
    ["Content-Length: 28 "],
    ["Content-Length: 28,28"],
    ["Content-Length: 28, 28"],
    ["Content-Length: "],
    ["Content-Length: \x0b28"],
    ["Content-Length: \x1c28"],
    ["Content-Length: \xa028"],
    ["Content-Length: \xb2\xb8"],
    ["Content-Length: ٢٨".encode().decode("latin-1")],
    ["Content-Length: nan"],
    ["Content-Length: " + "9" * 19],
    ["Content-Length: " + "9" * 5000],
    ["Content-Length: 28", "Content-Length: 28"],
    ["Content-Length: 28", "Content-Length: 5"],
    ["Content-Length: 28", "content-length: 0"],
    ["Content-Length : 28"],
    ["Content-Length\t: 28"],
    [" Content-Length: 28"],
    ["X: a", "\tContent-Length: 28"],
    ["X: a", " folded"],
    ["X: a\nContent-Length: 28"],
    ["X: a\rContent-Length: 28"],
    ["X: a\x00b"],
    ["X"],
    [": a"],
    ["X(): a"],
    ["Content-Length: 28", CHUNKED],
    [CHUNKED, "Content-Length: 28"],
    [CHUNKED, CHUNKED],
    ["Transfer-Encoding: Chunked"],
    ["Transfer-Encoding: xchunked"],
    ["Transfer-Encoding: chunkedx"],
    ["Transfer-Encoding: chunked "],
    ["Transfer-Encoding: \x0bchunked"],
    ["Transfer-Encoding: gzip, chunked"],
    ["Transfer-Encoding: chunked, chunked"],
    ["Transfer-Encoding: chunked, identity"],
    ["Transfer-Encoding: identity"],
    ["Transfer-Encoding: gzip"],
    ["Transfer-Encoding: "],
    ["Transfer-Encoding : chunked"],
    ["Transfer-Encoding: identity", CHUNKED],
    ["Upgrade: websocket", "Connection: Upgrade", "Content-Length: 28"],
    ["Upgrade: websocket", "Connection: Upgrade"],
    ["Upgrade: WebSocket"],
    ["Upgrade: h2c, websocket", "Connection: upgrade"],
]
BAD_CHUNKS = [
    b"0x1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"+1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"-1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"-1\r\n\r\n",
    b"1_c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b" 1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"\t1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1c\n" + BODY + b"\n0\n\n" + b"x" * 100,
    b"1c;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"\r\n\r\n" + b"x" * 100,
    b"00000001c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1c" + b";" * 100 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"5\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1c\r\n" + BODY + b"xx0\r\n\r\n",
    b"1c\r\n" + BODY + b"\r\n0\r\nX: trailer\r\n\r\n",
    b"1c\r\n" + BODY + b"\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    b"1c\r\n" + BODY + b"\r\n-0\r\n\r\n",
    b"".join(b"1\r\n%c\r\n" % byte for byte in BODY + b" " * 10_000) + b"0\r\n\r\n",
]
BAD_LINES = [
    b"POST /webhooks/rest/webhook\r\n\r\n",
    b"POST /webhooks/rest/webhook HTTP/2.0\r\n\r\n",
    b"POST  /webhooks/rest/webhook HTTP/1.1\r\n\r\n",
    b"POST /webhooks/rest/webhook HTTP/1.1 x\r\n\r\n",
    b"POST\t/webhooks/rest/webhook HTTP/1.1\r\n\r\n",
    b"PO(ST /webhooks/rest/webhook HTTP/1.1\r\n\r\n",
    b"POST /webhooks/\x00 HTTP/1.1\r\n\r\n",
    b"POST /webhooks/\xff\xfe HTTP/1.1\r\n\r\n",
    b"POST http://[::1 HTTP/1.1\r\n\r\n",
    b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"\x80\x81\x82 \x83 \x84\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest_asyncio.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with a_webhook(rest_table.TABLE) as webhook:
        yield webhook


async def still_works(webhook: Webhook) -> None:
    answer = await asked(webhook.base, head(PATH, "Content-Length: 28") + BODY)
    assert answer.status == 200


@pytest.mark.parametrize("says", GOOD)
async def test_a_plainly_framed_request_is_accepted(webhook: Webhook, says: str) -> None:
    lines, body = GOOD[says]
    answer = await asked(webhook.base, head(PATH, *lines) + body)
    assert answer.status == 200, answer
    assert len(webhook.messages) == 1


async def test_an_expected_body_is_asked_for(webhook: Webhook) -> None:
    for lines, body in ((["Content-Length: 28"], BODY), ([CHUNKED], CHUNKS)):
        async with connected(webhook.base) as client:
            await client.send(head(PATH, *lines, "Expect: 100-continue"))
            assert (await client.answer()).status == 100
            await client.send(body)
            assert (await client.answer()).status == 200


async def test_every_other_head_is_refused_before_the_body_is_read(webhook: Webhook) -> None:
    for lines in BAD_HEADS:
        async with connected(webhook.base) as client:
            await client.send(head(PATH, *lines))
            refused(await client.answer(), lines)
            assert await client.closed() == b"", lines
    refused(await asked(webhook.base, head(PATH, CHUNKED, version="1.0") + CHUNKS), "1.0")
    assert not webhook.messages
    await still_works(webhook)


async def test_the_same_holds_on_every_url(webhook: Webhook) -> None:
    """Also where no handler reads a body."""
    for path in ("/", "/healthz", "/readyz", "/nowhere", "/webhooks/rest/"):
        for method in ("GET", "POST", "PUT", "OPTIONS"):
            for lines in (["Content-Length: -1"], ["Content-Length: 28", CHUNKED]):
                answer = await asked(webhook.base, head(path, *lines, method=method))
                assert answer.status == 400, (path, method, lines, answer)
    await still_works(webhook)


async def test_a_malformed_chunk_is_refused_and_nothing_after_it_is_a_request(
    webhook: Webhook,
) -> None:
    for body in BAD_CHUNKS:
        async with connected(webhook.base) as client:
            smuggled = head("/", method="GET")
            await client.send(head(PATH, CHUNKED) + body + smuggled)
            refused(await client.answer(), body[:80])
            assert await client.closed() == b"", body[:80]
    assert not webhook.messages
    await still_works(webhook)


async def test_a_malformed_request_line_is_refused(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    for request in BAD_LINES:
        refused(await asked(webhook.base, request), request)
    assert not webhook.messages
    assert not caplog.records
    await still_works(webhook)


async def test_two_requests_on_one_connection_are_two(webhook: Webhook) -> None:
    async with connected(webhook.base) as client:
        await client.send((head(PATH, CHUNKED) + CHUNKS) * 2)
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
    assert len(webhook.messages) == 2


def refused(answer: Answer, request: object) -> None:
    assert answer.status == 400, (request, answer)
    assert answer.error, request
    assert "\x00" not in json.dumps(answer.error)
