"""A service that cannot be reached, or does not speak HTTP: the operator reads why in one line."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient
from tests.support.broker import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def error_of(url: str) -> RetryableDeliveryError:
    async with HttpClient() as http:
        with pytest.raises(RetryableDeliveryError) as caught:
            await http.post_json(f"{url}/secret-token", {})
    assert "secret-token" not in str(caught.value)
    return caught.value


async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet as an SSH server does."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    await writer.drain()
    writer.close()


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_name_that_does_not_resolve() -> None:
    error = await error_of("http://no-such-host.invalid")
    assert isinstance(error, ServiceUnavailable)
    assert error.problem.startswith("the name no-such-host.invalid does not resolve: ")


async def test_a_port_on_which_nothing_listens() -> None:
    port = free_port()
    error = await error_of(f"http://127.0.0.1:{port}")
    assert isinstance(error, ServiceUnavailable)
    assert error.problem == f"no connection to 127.0.0.1:{port}: Connection refused"


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    run = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    run += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


async def test_a_certificate_that_is_not_trusted(self_signed: ssl.SSLContext) -> None:
    async with serving(says, self_signed) as port:
        error = await error_of(f"https://127.0.0.1:{port}")
    assert isinstance(error, ServiceUnavailable)
    assert error.problem.startswith("the certificate of 127.0.0.1 is refused: self")
    assert "SSL_CERT_FILE" in (error.fix or "")


async def test_a_port_without_tls() -> None:
    async with serving(says) as port:
        error = await error_of(f"https://127.0.0.1:{port}")
    assert error.problem.startswith(f"no TLS with 127.0.0.1:{port}: ")


async def test_an_answer_that_is_not_http() -> None:
    async with serving(says) as port:
        error = await error_of(f"http://127.0.0.1:{port}")
    assert error.problem == "the service's answer is not HTTP"
