"""Requests that never end: each has a deadline, and all together have a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from sanic import Sanic

from bridge.http import intake, protocol
from bridge.http.intake import Intake
from bridge.messages import Reply
from tests.integration.connectors import rest_table, telegram_table
from tests.integration.connectors.runner import Turn, Webhook, a_webhook
from tests.integration.connectors.test_framing import BODY, CHUNKED, PATH
from tests.support.raw import RawClient, asked, connected, head
from tests.support.waiting import eventually

SOON = 0.3
HALF = head(PATH, "Content-Length: 28") + BODY[:14]
WHOLE = head(PATH, "Content-Length: 28") + BODY
HELD_BACK = {
    "half a body": (HALF, 408),
    "no body": (head(PATH, "Content-Length: 28"), 408),
    "half a chunk": (head(PATH, CHUNKED) + b"1c\r\n" + BODY[:14], 408),
    "half a chunk's line": (head(PATH, CHUNKED) + b"1", 408),
    "no last chunk": (head(PATH, CHUNKED) + b"1c\r\n" + BODY + b"\r\n", 408),
    "an expected body": (head(PATH, "Content-Length: 28", "Expect: 100-continue"), 100),
    "half a body at no URL": (head("/nowhere", "Content-Length: 28") + BODY[:14], 404),
    "half a body of a GET": (head("/healthz", "Content-Length: 28", method="GET"), 200),
    "half a head": (head(PATH)[:-4], 408),
    "one letter": (b"P", 408),
}


@pytest.fixture(autouse=True)
def _deadlines_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", SOON)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", SOON)


@pytest_asyncio.fixture
async def webhook() -> AsyncIterator[Webhook]:
    async with a_webhook(rest_table.TABLE) as webhook:
        yield webhook


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Event]:
    """No turn ends before this event is set."""
    ended = asyncio.Event()

    async def wait(_: Turn) -> AsyncIterator[Reply]:
        await ended.wait()
        nothing: tuple[Reply, ...] = ()
        for reply in nothing:
            yield reply

    monkeypatch.setattr(Turn, "__aiter__", wait)
    yield ended
    ended.set()


def limits() -> Intake:
    found: Intake = Sanic.get_app("rasa-channel-bridge").ctx.intake
    return found


async def drip(client: RawClient) -> None:
    while True:
        await client.send(b"1")
        await asyncio.sleep(SOON / 10)


@pytest.mark.parametrize("says", HELD_BACK)
async def test_what_does_not_arrive_in_time_is_refused(webhook: Webhook, says: str) -> None:
    request, status = HELD_BACK[says]
    async with connected(webhook.base) as client:
        await client.send(request)
        answer = await client.answer()
        assert answer.status == status
        if status == 408:
            assert "did not arrive within 0.3 s" in answer.error
            assert answer.headers["connection"] == "close"
        await client.closed()
    assert not limits().arriving
    assert not limits().held


@pytest.mark.parametrize("says", ["a body", "a head", "a chunk"])
async def test_a_byte_now_and_then_does_not_help(webhook: Webhook, says: str) -> None:
    many = head(PATH, "Content-Length: 100000")
    request = {"a body": many, "a head": b"POST /", "a chunk": head(PATH, CHUNKED) + b"ffff\r\n"}
    async with connected(webhook.base) as client:
        await client.send(request[says])
        dripping = asyncio.ensure_future(drip(client))
        try:
            assert (await client.answer()).status == 408
            await client.closed()
        finally:
            dripping.cancel()


async def test_a_request_that_waits_for_its_turn_has_no_deadline(
    webhook: Webhook, turns: asyncio.Event
) -> None:
    async with connected(webhook.base) as client:
        await client.send(WHOLE)
        with pytest.raises(asyncio.TimeoutError):
            await client.answer(patience=4 * SOON)
        turns.set()
        assert (await client.answer()).status == 200
    await eventually(lambda: not limits().held)


async def test_the_oldest_unfinished_bodies_make_room(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 60.0)
    monkeypatch.setattr(intake, "MOST_BYTES", 100_000)
    async with AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(webhook.base)) for _ in range(20)]
        for n, client in enumerate(slow):
            before = limits().held
            await client.send(head(PATH, "Content-Length: 20000") + b" " * 10_000)
            await eventually(lambda before=before, n=n: limits().held != before or n >= 10)
        for client in slow[:9]:
            answer = await client.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            await client.closed()
        assert (await asked(webhook.base, WHOLE)).status == 200
        await slow[-1].send(b" " * 10_000)
        assert (await slow[-1].answer()).status == 400, "not JSON, but read to its end"
    await eventually(lambda: not limits().arriving and not limits().held)


async def test_requests_that_wait_are_never_the_ones_that_make_room(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, turns: asyncio.Event
) -> None:
    monkeypatch.setattr(intake, "MOST_BYTES", 5 * len(BODY))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(webhook.base)) for _ in range(5)]
        for client in clients:
            await client.send(WHOLE)
        await eventually(lambda: len(webhook.messages) == 5)
        assert (await asked(webhook.base, WHOLE)).status == 503
        turns.set()
        for client in clients:
            assert (await client.answer()).status == 200
        assert (await asked(webhook.base, WHOLE)).status == 200


async def test_a_connection_that_is_lost_gives_its_bytes_back(webhook: Webhook) -> None:
    for _ in range(10):
        async with connected(webhook.base) as client:
            await client.send(HALF)
            await eventually(lambda: limits().held)
        await eventually(lambda: not limits().held and not limits().arriving)


async def test_a_channel_with_short_events_has_a_smaller_limit() -> None:
    most = 128 * 1024
    async with a_webhook(telegram_table.TABLE) as webhook:
        path = "/webhooks/telegram/webhook"
        for lines, body in (
            ([f"Content-Length: {most + 1}"], b""),
            (
                [CHUNKED],
                b"10000\r\n" + b" " * 65536 + b"\r\n10000\r\n" + b" " * 65536 + b"\r\n1\r\n",
            ),
        ):
            answer = await asked(webhook.base, head(path, *lines) + body)
            assert (answer.status, answer.error) == (413, f"the body is larger than {most} bytes")
        answer = await asked(webhook.base, head(path, f"Content-Length: {most}") + b" " * most)
        assert answer.status == 403


async def test_a_body_of_very_many_values_is_refused(webhook: Webhook) -> None:
    for values, status in ((9_000, 200), (20_000, 400)):
        text = ",".join(["[]"] * values)
        body = b'{"sender":"a","message":"b","metadata":{"c":[%s]}}' % text.encode()
        answer = await asked(webhook.base, head(PATH, f"Content-Length: {len(body)}") + body)
        assert answer.status == status, answer
    assert len(webhook.messages) == 1


async def test_a_client_that_leaves_ends_its_request_although_it_sent_fast(
    webhook: Webhook, turns: asyncio.Event
) -> None:
    body = b'{"sender":"a","message":"%s"}' % (b"b" * 500_000)
    async with connected(webhook.base) as client:
        await client.send(head(PATH, f"Content-Length: {len(body)}") + body)
        await eventually(lambda: webhook.messages)
        assert limits().held
    await eventually(lambda: not limits().held)


async def test_a_connection_that_sends_on_and_on_while_it_waits_is_closed(
    webhook: Webhook, turns: asyncio.Event
) -> None:
    async with connected(webhook.base) as client:
        await client.send(WHOLE)
        await eventually(lambda: webhook.messages)
        await client.send(b"GET / HTTP/1.1\r\n\r\n" * 10_000)
        await client.closed()
    await eventually(lambda: not limits().held)
