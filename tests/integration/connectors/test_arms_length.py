"""Services are kept at arm's length: what a response may cost in memory and time."""

from __future__ import annotations

import asyncio
import gzip
import resource
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bridge.errors import DeliveryError, RejectedDeliveryError, RetryableDeliveryError
from bridge.http.client import LONGEST_BODY, HttpClient, Response
from bridge.http.direct import HTTP, LIBRARY

MIB = 1024 * 1024
Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_service(write: Write) -> AsyncIterator[str]:
    """A service that writes what it likes after each request; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            await write(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/"
    finally:
        server.close()


def says(head: str, *pieces: bytes, status: int = 200, then: str = "end") -> Write:
    """Write a response; afterwards end, write the last piece for ever, or stall."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        while then == "for ever":
            writer.write(pieces[-1])
            await writer.drain()
        if then == "stall":
            await asyncio.sleep(60)

    return write


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}\r\n"


def any_status(response: Response) -> None:
    return None


@pytest.fixture(params=["", LIBRARY], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs with and without aiohttp's session."""
    monkeypatch.setenv(HTTP, request.param)


async def call(url: str, timeout: float = 5.0) -> Response:
    async with HttpClient(timeout) as http:
        return await http.post_bytes(url, b"", check=any_status)


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def bomb(mebibytes: int, wbits: int) -> bytes:
    """Compress zeros: one block over and over, because compressing so many takes a second.

    The checksum at its end is that of two blocks. Nothing may read so far.
    """
    compressor = zlib.compressobj(wbits=wbits)
    first, block = (
        compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return first + block * (mebibytes - 1) + compressor.flush()


GZIPPED = bomb(400, wbits=31)
DEFLATED = bomb(100, wbits=15)
TOO_LONG = {
    "a long body": says(f"Content-Length: {3 * MIB}\r\n", bytes(3 * MIB)),
    "an endless body": says("", bytes(65536), then="for ever"),
    "endless chunks": says(
        "Transfer-Encoding: chunked\r\n", b"10000\r\n" + bytes(65536) + b"\r\n", then="for ever"
    ),
    "a gzip bomb": says(f"Content-Encoding: gzip\r\n{length(GZIPPED)}", GZIPPED),
    "a deflate bomb": says(f"Content-Encoding: deflate\r\n{length(DEFLATED)}", DEFLATED),
}


@pytest.mark.parametrize("write", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_body_that_is_too_long_costs_little_memory(write: Write) -> None:
    async with raw_service(write) as url:
        before = peak()
        response = await call(url)
        assert peak() - before < 40 * MIB
    assert response.status == 200
    assert response.incomplete == "longer than 1 MiB"
    with pytest.raises(RetryableDeliveryError, match="longer than 1 MiB"):
        response.json()
    assert response.json_object() == {}


@pytest.mark.parametrize("write", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_call_whose_response_is_too_long_is_accepted_by_its_status(write: Write) -> None:
    async with raw_service(write) as url, HttpClient(5.0) as http:
        await http.post_bytes(url, b"")


async def test_an_error_status_counts_whatever_the_length_of_its_body() -> None:
    endless = says("", bytes(65536), status=400, then="for ever")
    async with raw_service(endless) as url, HttpClient(5.0) as http:
        with pytest.raises(RejectedDeliveryError):
            await http.post_bytes(url, b"")


@pytest.mark.parametrize("size", [0, 1, LONGEST_BODY - 1, LONGEST_BODY])
@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "deflate", "raw deflate"])
async def test_a_body_up_to_the_limit_is_read(size: int, encoding: str) -> None:
    plain = b"x" * size
    raw = zlib.compressobj(wbits=-15)
    body = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
    }.get(encoding, plain)
    head = f"Content-Encoding: {encoding.split()[-1]}\r\n" if encoding else ""
    async with raw_service(says(head + length(body), body)) as url:
        response = await call(url)
    assert (response.body, response.incomplete) == (plain, "")


BROKEN = {
    "cut off": says("Content-Length: 100\r\n", b"{"),
    "not gzip": says("Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}"),
    "half a gzip": says(
        "Content-Encoding: gzip\r\nContent-Length: 20\r\n", gzip.compress(bytes(9999), mtime=0)[:20]
    ),
    "an unknown coding": says("Content-Encoding: zz\r\nContent-Length: 2\r\n", b"{}"),
    "a body that stalls": says("Content-Length: 100\r\n", b"{", then="stall"),
}


@pytest.mark.parametrize("write", BROKEN.values(), ids=BROKEN)
async def test_a_broken_body_leaves_the_verdict_to_the_status(write: Write) -> None:
    async with raw_service(write) as url:
        response = await call(url, timeout=1.0)
    assert response.status == 200
    assert response.incomplete
    with pytest.raises(RetryableDeliveryError):
        response.json()


NO_RESPONSE = {
    "a header that is too long": says("X: " + "x" * 100_000 + "\r\n"),
    "headers that never end": says("", b"", then="end"),
    "no HTTP": says("\x00"),
    "a deep JSON body": says("", b"[" * 100_000),
}


@pytest.mark.parametrize("write", NO_RESPONSE.values(), ids=NO_RESPONSE)
async def test_whatever_a_service_sends_becomes_a_response_or_a_delivery_error(
    write: Write,
) -> None:
    async with raw_service(write) as url:
        try:
            response = await call(url, timeout=1.0)
            response.json()
        except DeliveryError:
            return
    raise AssertionError("the service sent no JSON")
