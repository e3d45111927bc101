"""Random requests for every channel: no 5xx, nothing enqueued with a forged signature."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from bridge.http import intake, protocol
from tests.integration.connectors.runner import Webhook, a_webhook
from tests.integration.connectors.tables import Table
from tests.integration.connectors.test_connectors import TABLES
from tests.integration.connectors.test_socketio import a_server
from tests.support.fuzz import Attempt, Fuzzer, packets
from tests.support.raw import connected
from tests.support.sockets import client
from tests.support.system import longer

LASTS = longer(short=5.0, chaos=150.0)
"""Seconds."""
AT_ONCE = 8
SEED = int(os.environ.get("RASA_BRIDGE_SEED") or random.SystemRandom().randrange(10**6))
URL = "/socket.io/?EIO=4&transport=websocket"


@pytest.fixture(autouse=True)
def _deadlines_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)


@pytest.fixture
def rng() -> random.Random:
    print(f"RASA_BRIDGE_SEED={SEED}")
    return random.Random(SEED)


@asynccontextmanager
async def all_webhooks() -> AsyncIterator[list[tuple[Table, Webhook]]]:
    async with AsyncExitStack() as stack:
        yield [(table, await stack.enter_async_context(a_webhook(table))) for table in TABLES]


async def statuses(webhook: Webhook, attempt: Attempt) -> list[int]:
    """Send one attempt; return the statuses of the answers, until the connection is closed."""
    found = []
    async with connected(webhook.base) as connection:
        await connection.send(attempt.data)
        while (answer := await connection.answer()).status:
            found.append(answer.status)
            if answer.headers.get("connection") == "close" or answer.status != 100:
                break
    return found


async def test_random_requests_cause_no_5xx_and_forged_ones_no_message(
    rng: random.Random, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    seen: dict[int, int] = {}
    made = 0
    async with all_webhooks() as webhooks:
        until = time.monotonic() + LASTS
        while time.monotonic() < until:
            table, webhook = rng.choice(webhooks)
            fuzzer = Fuzzer(rng, table.channel, [*table.signed_by])
            attempts = [fuzzer.attempt(rng.choice(table.genuine)) for _ in range(AT_ONCE)]
            forged = [attempt for attempt in attempts if attempt.is_forged]
            for group in (forged, [a for a in attempts if not a.is_forged]):
                before = len(webhook.publisher.published)
                answers = await asyncio.gather(*(statuses(webhook, a) for a in group))
                for attempt, answered in zip(group, answers, strict=True):
                    for status in answered:
                        seen[status] = seen.get(status, 0) + 1
                        assert status < 500, (table.channel, attempt)
                if group is forged:
                    assert len(webhook.publisher.published) == before, (table.channel, group)
            made += len(attempts)
        for table, webhook in webhooks:
            for genuine in table.genuine:
                status, answer, _ = await webhook.post(genuine.post(genuine.value))
                assert status == 200, (table.channel, answer)
    print(f"{made} requests: {dict(sorted(seen.items()))}")
    assert {200, 400, 403} <= set(seen)
    assert not caplog.records, [record.getMessage() for record in caplog.records][:3]


async def test_random_packets_break_no_socket_of_another_client(
    rng: random.Random, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    sent = 0
    async with a_server() as server, aiohttp.ClientSession() as http, client(server.url) as it:
        until = time.monotonic() + LASTS
        while time.monotonic() < until:
            async with http.ws_connect(server.url + URL) as socket:
                for packet in packets(rng):
                    sent += 1
                    try:
                        if isinstance(packet, bytes):
                            await socket.send_bytes(packet)
                        else:
                            await socket.send_str(packet)
                    except ConnectionError:
                        break
            assert await it.ask("user_uttered", {"message": "hello"}) is None
    print(f"{sent} packets")
    # Sanic 21.12 leaves the task of a message that arrived with the end of its connection.
    ours = [text for text in caplog.messages if not text.startswith("Task was destroyed")]
    assert not ours, ours[:3]
