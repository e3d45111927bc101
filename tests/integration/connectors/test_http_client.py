"""The HTTP calls of connectors, as they arrive at a service."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct

import pytest
from aiohttp import web

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError
from bridge.http.client import HttpClient, Response
from tests.support.service import FakeService

ADA = "Basic " + base64.b64encode(b"ada:pw").decode()


async def test_a_form_arrives_with_its_fields(service: FakeService) -> None:
    async with HttpClient() as http:
        await http.post_form(
            f"{service.url}sms",
            {"To": "+1555", "Body": "é & so"},
            headers={"X-Key": "k"},
            params={"v": "1"},
            basic_auth=("ada", "pw"),
        )
    (call,) = service.calls
    assert (call.method, call.path, call.query) == ("POST", "/sms", {"v": "1"})
    assert call.body == {"To": "+1555", "Body": "é & so"}
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (call.headers["Authorization"], call.headers["X-Key"]) == (ADA, "k")


async def test_a_get_arrives_with_its_query(service: FakeService) -> None:
    async with HttpClient() as http:
        answer = await http.get(f"{service.url}keys", params={"a": "b c"}, headers={"X": "y"})
    (call,) = service.calls
    assert (call.method, call.path, call.query) == ("GET", "/keys", {"a": "b c"})
    assert call.body is None
    assert answer.json() == {}


async def test_a_proxy_is_called_instead_of_the_service(service: FakeService) -> None:
    async with HttpClient() as http:
        await http.post_json("http://far.example/x", {}, proxy=service.url)
    (call,) = service.calls
    assert call.headers["Host"] == "far.example"


async def test_a_service_may_have_its_own_check(service: FakeService) -> None:
    service.answer = lambda call: web.json_response({"code": 7}, status=400)
    seen: list[Response] = []
    async with HttpClient() as http:
        await http.post_json(service.url, {}, check=seen.append)
        with pytest.raises(RejectedDeliveryError):
            await http.post_json(service.url, {})
    assert seen[0].json() == {"code": 7}


async def test_an_invalid_url_is_not_quoted() -> None:
    async with HttpClient() as http:
        with pytest.raises(RejectedDeliveryError) as caught:
            await http.post_json("no-scheme/bot123:secret/sendMessage", {})
    assert "secret" not in str(caught.value)


async def test_a_broken_connection_is_named_and_its_url_is_not() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with HttpClient() as http:
        with pytest.raises(RetryableDeliveryError, match="^connection failed: Connection reset by"):
            await http.post_json(f"http://127.0.0.1:{port}/bot123:secret", {})
    server.close()
