"""Calls that pass aiohttp's session by are the calls that the session makes."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bridge.errors import (
    DeliveryError,
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.http.client import HttpClient, Response
from bridge.http.direct import HTTP, LIBRARY
from tests.support.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Post = Callable[[HttpClient, str], Coroutine[Any, Any, Response]]


class Recorder:
    """A service that keeps the bytes of each request, and counts connections."""

    def __init__(self, answers: list[bytes] | None = None) -> None:
        """`answers` to the first requests, "" for none; then `OK`."""
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = answers or []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].partition(b"\r")[0]
                self.requests.append(head + await reader.readexactly(int(length)))
                writer.write(self._answers.pop(0) if self._answers else OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def serving(recorder: Recorder) -> AsyncIterator[Recorder]:
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    recorder.url = f"http://{host}:{port}"
    try:
        yield recorder
    finally:
        server.close()


def parsed(request: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return the request line, the headers in no order, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    pairs = (header.partition(": ") for header in lines)
    return line, sorted((name.lower(), value) for name, _, value in pairs), body


CALLS: dict[str, Post] = {
    "JSON": lambda http, url: http.post_json(url, {"é": ["ü", 1]}),
    "headers": lambda http, url: http.post_json(url, 1, headers={"X-A": "é", "Y": ""}),
    "replaced headers": lambda http, url: http.post_json(
        url, 1, headers={"user-agent": "me", "ACCEPT": "x/y", "accept-encoding": "gzip"}
    ),
    "a content type": lambda http, url: http.post_json(
        url, 1, headers={"content-type": "application/problem+json"}
    ),
    "a query": lambda http, url: http.post_json(
        f"{url}/a b/é?x=1&y=%2F#part", 1, params={"p": "q r&", "x": "2"}
    ),
    "a colon in the path": lambda http, url: http.post_json(f"{url}/bot12:token/send", 1),
    "authentication": lambda http, url: http.post_json(url, 1, basic_auth=("ada", "pä:ss")),
    "authentication in the URL": lambda http, url: http.post_json(
        url.replace("//", "//ada:pw@"), 1
    ),
    "bytes": lambda http, url: http.post_bytes(url, b"\xff\r\n\r\n", content_type="a/b"),
    "no bytes": lambda http, url: http.post_bytes(url, b""),
    "a form": lambda http, url: http.post_form(url, {"To": "+1 5", "Body": "é&=\n"}),
    "a form of pairs": lambda http, url: http.post_form(url, [("a", "1"), ("a", "2")]),
    "an empty form": lambda http, url: http.post_form(url, []),
    "another host": lambda http, url: http.post_json(url, 1, headers={"host": "me.example"}),
    "a cookie": lambda http, url: http.post_json(url, 1, headers={"Cookie": "a=b"}),
}


async def requests(call: Post, **environment: str) -> list[bytes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        async with serving(Recorder()) as service, HttpClient() as http:
            for _ in range(2):  # the second one knows its target
                await call(http, service.url)
            assert service.connections == 1
    return [r.replace(service.url[7:].encode(), b"HOST") for r in service.requests]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_request_is_that_of_the_session(call: Post) -> None:
    direct = await requests(call)
    by_session = await requests(call, **{HTTP: LIBRARY})
    assert [*map(parsed, direct)] == [*map(parsed, by_session)]


async def test_most_calls_pass_the_session_by(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Recorder()) as service, HttpClient() as http:
        monkeypatch.setattr(aiohttp.ClientSession, "_request", None)
        await http.post_json(service.url, {}, headers={"X": "y"}, params={"a": "b"})
        with pytest.raises(RejectedDeliveryError):  # the session fails: None cannot be called
            await http.get(service.url)


@pytest.mark.parametrize("name", ["X-\r\nInjected: 1\r\nX", "X"])
@pytest.mark.parametrize("value", ["a\r\nInjected: 1", "a\nb", "a\0b", "a\rb"])
async def test_a_header_with_a_line_end_is_not_sent(name: str, value: str) -> None:
    async with serving(Recorder()) as service, HttpClient() as http:
        with pytest.raises(RejectedDeliveryError, match="cannot be made"):
            await http.post_json(service.url, {}, headers={name: value})
    assert service.requests == []


@pytest.mark.parametrize("url", ["", "/x", "http://", "http://[1/", "http://a:x/"])
async def test_a_url_that_is_none_is_rejected(url: str) -> None:
    async with HttpClient() as http:
        with pytest.raises(RejectedDeliveryError, match="invalid URL"):
            await http.post_json(url, {})


@pytest.mark.parametrize("body", [{1, 2}, {"x": object()}])
async def test_a_body_that_is_no_json_is_rejected(body: object) -> None:
    async with HttpClient() as http:
        with pytest.raises(RejectedDeliveryError, match="cannot be made"):
            await http.post_json("http://127.0.0.1:9/", body)


async def test_an_interim_response_is_not_the_answer() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with serving(Recorder([interim * 3 + OK])) as service, HttpClient() as http:
        assert (await http.post_json(service.url, {})).body == b"{}"


async def test_a_late_answer_is_not_that_of_the_next_call() -> None:
    """A call that was given up leaves a connection on which its answer may still arrive."""
    async with serving(Recorder([b""])) as service, HttpClient() as http:
        call = asyncio.ensure_future(http.post_json(service.url, 1))
        await eventually(lambda: bool(service.requests))
        call.cancel()
        await asyncio.wait({call})
        await http.post_json(service.url, 2)
    assert service.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["too long", "asks to close", "says more than asked", "another protocol"],
)
async def test_a_connection_that_may_hold_more_is_not_used_again(answer: bytes) -> None:
    async with serving(Recorder([answer])) as service, HttpClient(timeout=5.0) as http:
        await http.post_json(service.url, {}, check=lambda response: None)
        assert (await http.post_json(service.url, {})).body == b"{}"
    assert service.connections == 2


async def test_what_arrives_between_two_calls_is_no_answer() -> None:
    more = asyncio.Event()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await more.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpClient() as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await http.post_json(url, {})
        (waiting,) = http._exchange._pool._waiting.values()
        more.set()
        await eventually(lambda: waiting[0][0].protocol.should_close)
        assert (await http.post_json(url, {})).body == b"{}"
        assert connections == 2


async def test_connections_that_are_not_used_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.http.pool.KEPT", 0.05)
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        if await reader.read() == b"{}":  # the body, and then the end
            closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpClient() as http:
        await http.post_json(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        await asyncio.wait_for(closed.wait(), 30)
        assert not http._exchange._pool._waiting


async def test_a_connection_that_the_service_has_closed_is_not_used() -> None:
    """It may do so at any time while none is called (RFC 9112 §9.5)."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpClient() as http:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for n in range(1, 4):
            await http.post_json(url, {})
            (waiting,) = http._exchange._pool._waiting.values()
            await eventually(lambda: waiting[0][0].protocol.transport is None)  # noqa: B023
            assert connections == n


async def test_calls_at_once_have_a_connection_each() -> None:
    async with serving(Recorder()) as service, HttpClient() as http:
        for _ in range(3):
            await asyncio.gather(*[http.post_json(service.url, n) for n in range(5)])
    assert service.connections == 5
    assert len(service.requests) == 15


async def test_a_service_that_never_answers_is_given_up() -> None:
    async with serving(Recorder([b""])) as service, HttpClient(timeout=0.2) as http:
        with pytest.raises(RetryableDeliveryError, match="did not answer in time"):
            await http.post_json(service.url, 1)
        await http.post_json(service.url, 2)
    assert service.connections == 2


@pytest.mark.parametrize("answer", [b"HTTP/1.1 999999 x\r\n\r\n", b"hello\r\n\r\n", b"\0"])
async def test_an_answer_that_is_no_http_is_a_failed_connection(answer: bytes) -> None:
    async with serving(Recorder([answer])) as service, HttpClient(timeout=1.0) as http:
        with pytest.raises(RetryableDeliveryError):
            await http.post_json(service.url, {})
        await http.post_json(service.url, {})


async def test_a_service_that_hangs_up_is_a_failed_connection() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server, HttpClient() as http:
        with pytest.raises(RetryableDeliveryError, match="ServerDisconnectedError"):
            await http.post_json(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})


async def test_traces_of_a_session_see_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instrumentation, such as Sentry's, adds traces to each session."""
    seen: list[str] = []
    made = aiohttp.TraceConfig()

    async def note(session: object, context: object, params: Any) -> None:
        seen.append(params.method)

    made.on_request_start.append(note)
    original = aiohttp.ClientSession.__init__

    def with_trace(self: aiohttp.ClientSession, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, trace_configs=[made], **named)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", with_trace)
    async with serving(Recorder()) as service, HttpClient() as http:
        await http.post_json(service.url, {})
    assert seen == ["POST"]


async def test_only_so_many_targets_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.http.exchange.MOST_TARGETS", 3)
    async with serving(Recorder()) as service, HttpClient() as http:
        for n in range(10):
            await http.post_json(f"{service.url}/{n}", {})
        assert len(http._exchange._targets) <= 3
    lines = [request.partition(b" HTTP")[0] for request in service.requests]
    assert lines == [f"POST /{n}".encode() for n in range(10)]


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """The server side of a certificate that no authority has signed."""
    run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*run, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def test_certificates_are_checked(certificate: ssl.SSLContext) -> None:
    service = Recorder()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0, ssl=certificate)
    async with server, HttpClient() as http:
        with pytest.raises(ServiceUnavailable, match="certificate"):
            await http.post_json(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
    assert service.requests == []


async def test_every_failure_is_a_delivery_error_on_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = []
    for way in ("", LIBRARY):
        monkeypatch.setenv(HTTP, way)
        async with HttpClient(timeout=1.0) as http:
            for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
                with pytest.raises(DeliveryError) as caught:
                    await http.post_json(url, {})
                errors.append((url, type(caught.value)))
    assert errors[:2] == errors[2:]
