"""The webhook under hundreds of slow or greedy clients: it answers others, in its memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.bench.memory import rss
from tests.support.broker import free_port
from tests.support.processes import Process, Project
from tests.support.raw import RawClient, connected, head
from tests.support.system import longer
from tests.support.waiting import eventually

CLIENTS = 500
CONTAINER = 256.0
"""MB of the webhook's container in Compose and Kubernetes."""
LASTS = longer(short=4.0, chaos=20.0)
"""Seconds of an attack."""
PATIENCE = 10.0
"""Seconds in which another client must have its answer meanwhile."""
REST, CALLBACK = "/webhooks/rest/webhook", "/webhooks/callback/webhook"
MIB = 1024 * 1024


def complete(value: object) -> bytes:
    """Return a whole request of almost 1 MiB, whose turn never ends: there is no worker."""
    body = json.dumps({"sender": "u", "message": "hello", "metadata": value}).encode()
    assert MIB // 2 < len(body) <= MIB
    return head(REST, f"Content-Length: {len(body)}") + body


WEBSOCKET = head(
    "/socket.io/?EIO=4&transport=websocket",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    method="GET",
)
ATTACKS: dict[str, Callable[[], bytes]] = {
    "half a body": lambda: head(REST, f"Content-Length: {MIB}") + b" " * (MIB // 2),
    "half a chunked body": lambda: (
        head(REST, "Transfer-Encoding: chunked") + b"80000\r\n" + b" " * (MIB // 2)
    ),
    "tiny chunks": lambda: head(REST, "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 5000,
    "half a head": lambda: head(REST)[:-2] + b"X: " + b"x" * 7000,
    "a body at no URL": lambda: head("/nowhere", f"Content-Length: {MIB}") + b" " * (MIB // 2),
    "a body of a GET": lambda: (
        head("/healthz", f"Content-Length: {MIB}", method="GET") + b" " * (MIB // 2)
    ),
    "whole bodies that wait": lambda: complete({"a": "x" * (MIB - 100)}),
    "whole bodies of many values": lambda: complete({"a": [[] for _ in range(250_000)]}),
    "whole bodies of enough values": lambda: complete(
        {"a": [[] for _ in range(14_000)], "b": "é" * 80_000 + "😀" * 30_000}
    ),
    "requests behind one that waits": lambda: (
        head(REST, "Content-Length: 28") + b'{"sender":"a","message":"b"}' + b"x" * MIB
    ),
    "sockets": lambda: WEBSOCKET,
    "sockets with attachments": lambda: WEBSOCKET + text_frame("40") + text_frame("459999-[]"),
}


def text_frame(text: str) -> bytes:
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text.encode()


async def start(project: Project) -> tuple[Process, str]:
    project.write("credentials.yml", "rest:\ncallback:\n  url: http://127.0.0.1:1/\nsocketio:\n")
    port = free_port()
    process = project.bridge("webhook", "-i", "127.0.0.1", "-p", str(port), fork=False)
    await process.prints("listening on")
    # On a busy machine, it listens before it has a broker.
    await process.prints("ready to publish")
    return process, f"http://127.0.0.1:{port}"


async def insist(client: RawClient, request: bytes) -> None:
    """Send a request, and bytes now and then, until the server closes the connection."""
    await client.send(request)
    while True:
        await client.send(b"0")
        await asyncio.sleep(1)


async def attacked(base: str, request: bytes, until: float) -> None:
    """Be one client after the other until a time."""
    while time.monotonic() < until:
        try:
            async with connected(base) as client:
                sending = asyncio.ensure_future(insist(client, request))
                try:
                    await client.closed(patience=until - time.monotonic())
                finally:
                    sending.cancel()
        except (OSError, asyncio.TimeoutError):
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "says", longer(short=["half a body", "whole bodies of enough values"], chaos=[*ATTACKS])
)
async def test_the_webhook_stays_in_its_memory_and_answers_others(
    says: str, project: Project
) -> None:
    process, base = await start(project)
    idle = rss(process)
    until = time.monotonic() + LASTS
    request = ATTACKS[says]()
    highest, slowest, statuses = 0.0, 0.0, []
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        clients = [asyncio.ensure_future(attacked(base, request, until)) for _ in range(CLIENTS)]
        while time.monotonic() < until:
            began = time.monotonic()
            body = {"sender": "ada", "message": "hello"}
            async with http.post(base + CALLBACK, json=body) as response:
                statuses.append(response.status)
            slowest = max(slowest, time.monotonic() - began)
            highest = max(highest, rss(process))
            await asyncio.sleep(0.1)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

        async def works() -> bool:
            async with http.post(base + CALLBACK, json=body) as response:
                return response.status == 200

        await eventually(works)
    refused = sum(status != 200 for status in statuses)
    print(
        f"{says}: {idle:.0f} MB idle, {highest:.0f} MB at most; {len(statuses)} other requests,"
        f" {refused} refused, the slowest took {slowest:.2f} s"
    )
    assert highest < CONTAINER
    assert slowest < PATIENCE
    assert set(statuses) <= {200, 503}
    assert refused <= len(statuses) / 2
    assert "answered 500" not in process.log
