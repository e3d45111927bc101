"""Requests that pass Sanic by have the same answers and messages as those that do not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sanic import Blueprint, Sanic
from sanic.response import HTTPResponse, empty, text

from bridge.connectors.base import Connector, Request
from bridge.connectors.callback import CallbackConnector
from bridge.connectors.interfaces import Inbox
from bridge.http import intake as limits, protocol
from bridge.http.direct import LONGEST_KNOWN, MOST_KNOWN, Route, Routes, direct
from bridge.http.intake import GuardedRequest, Intake
from bridge.messages import InboundMessage
from tests.integration.connectors import callback_table
from tests.integration.connectors.runner import Webhook, a_webhook
from tests.integration.connectors.tables import Post, Table
from tests.integration.connectors.test_connectors import each_table
from tests.integration.connectors.test_framing import BODY
from tests.support.raw import Answer, connected, head
from tests.support.waiting import eventually

PATH = "/webhooks/callback/webhook"
WHOLE = head(PATH, "Content-Length: 28") + BODY
UNUSUAL = {
    "a query": head(f"{PATH}?a=b", "Content-Length: 28") + BODY,
    "a closed connection": head(PATH, "Content-Length: 28", "Connection: close") + BODY,
    "HTTP/1.0": head(PATH, "Content-Length: 28", version="1.0") + BODY,
    "a header twice": head(PATH, "Content-Length: 28", "X: a", "x: b") + BODY,
    "an expected body": head(PATH, "Content-Length: 28", "Expect: 100-continue") + BODY,
    "another upgrade": head(PATH, "Content-Length: 28", "Upgrade: h2c") + BODY,
    "chunks": head(PATH, "Transfer-Encoding: chunked") + b"1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a long body": head(PATH, "Content-Length: 20028") + BODY + b" " * 20_000,
}
PLAIN = {
    "a plain request": WHOLE,
    "an open connection": head(PATH, "Content-Length: 28", "Connection: Keep-Alive") + BODY,
    "other headers": head(PATH, "Content-Length: 28", "X-Name: \xe4", "Accept:*/*") + BODY,
    "no message": head(PATH, "Content-Length: 2") + b"{}",
}


@pytest.fixture
def sanics(monkeypatch: pytest.MonkeyPatch) -> list[GuardedRequest]:
    """The requests whose body Sanic has read."""
    read: list[GuardedRequest] = []
    original = GuardedRequest.receive_body

    async def noted(self: GuardedRequest) -> None:
        read.append(self)
        await original(self)

    monkeypatch.setattr(GuardedRequest, "receive_body", noted)
    return read


def intake() -> Intake:
    found: Intake = Sanic.get_app("rasa-channel-bridge").ctx.intake
    return found


def written(table: Table, post: Post) -> bytes:
    """Return the bytes of a request."""
    lines = [f"{name}: {value}".encode() for name, value in post.headers.items()]
    path = f"/webhooks/{table.channel}/{post.path}"
    first = head(path, f"Content-Length: {len(post.body)}", method=post.method)[:-2]
    return b"\r\n".join([first[:-2], *lines, b"", b""]) + post.body


def says(message: InboundMessage) -> dict[str, Any]:
    """Return what a message says, without what differs each time."""
    found = {name: getattr(message, name) for name in message.__struct_fields__}
    is_made = len(message.id) == 32 and message.parse_data is None
    return {**found, "received_at": 0.0, "id": "" if is_made else message.id}


async def answers(webhook: Webhook, request: bytes) -> list[Answer]:
    """Return the answers to a request that is sent twice on one connection."""
    async with connected(webhook.base) as client:
        await client.send(request)
        first = await client.answer()
        await client.send(request)
        found = [first, await client.answer()]
    # Sanic 25 may send this one, which is empty.
    return [replace(a, headers={**a.headers, "alt-svc": ""}) for a in found]


@each_table
async def test_both_ways_have_the_same_answers_and_messages(table: Table) -> None:
    # With a query, or other credentials, nothing of the way is different.
    cases = [c for c in table.incoming if "?" not in c.request.path and not c.settings]
    found: dict[str, list[Any]] = {}
    for way in ("direct", "Sanic"):
        async with a_webhook(table) as webhook:
            if way == "Sanic":
                intake().routes = Routes({})
            found[way] = [await answers(webhook, written(table, c.request)) for c in cases]
            found[way] += map(says, webhook.messages)
    assert found["direct"] == found["Sanic"]


@each_table
async def test_a_message_of_each_channel_passes_sanic_by(
    table: Table, sanics: list[GuardedRequest]
) -> None:
    async with a_webhook(table) as webhook:
        (first, *_) = await answers(
            webhook, written(table, table.genuine[0].post(table.genuine[0].value))
        )
        assert first.status == 200
        assert not sanics


@pytest.mark.parametrize("says", PLAIN)
async def test_a_plain_request_passes_sanic_by(says: str, sanics: list[GuardedRequest]) -> None:
    async with a_webhook(callback_table.TABLE) as webhook:
        statuses = {answer.status for answer in await answers(webhook, PLAIN[says])}
        assert statuses == {400 if says == "no message" else 200}
        assert not sanics


async def test_a_body_that_follows_its_head_passes_sanic_by(
    sanics: list[GuardedRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_FOLLOWS", 30.0)
    async with a_webhook(callback_table.TABLE) as webhook, connected(webhook.base) as client:
        for _ in range(3):
            await client.send(WHOLE[: -len(BODY)])
            await client.send(BODY)
            assert (await client.answer()).status == 200
        assert not sanics


@pytest.mark.parametrize("late", [BODY, BODY[5:], BODY[-1:]], ids=len)
async def test_a_late_body_is_sanics(
    late: bytes, sanics: list[GuardedRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_FOLLOWS", 0.01)
    async with a_webhook(callback_table.TABLE) as webhook, connected(webhook.base) as client:
        await client.send(WHOLE[: -len(late)])
        await eventually(lambda: sanics)
        await client.send(late)
        assert (await client.answer()).status == 200
        await client.send(WHOLE)
        assert (await client.answer()).status == 200
        assert len(sanics) == 1
        # What a client sends before it has the answer follows the same way.
        await client.send(WHOLE[: -len(late)])
        await eventually(lambda: len(sanics) == 2)
        await client.send(late + WHOLE)
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
        assert len(sanics) == 3


@pytest.mark.parametrize("says", UNUSUAL)
async def test_an_unusual_request_is_sanics(says: str, sanics: list[GuardedRequest]) -> None:
    async with a_webhook(callback_table.TABLE) as webhook, connected(webhook.base) as client:
        await client.send(UNUSUAL[says])
        assert (await client.answer()).status in (100, 200)
        assert sanics


async def test_requests_of_both_kinds_follow_each_other_in_order() -> None:
    async with a_webhook(callback_table.TABLE) as webhook, connected(webhook.base) as client:
        texts = [f"{n:02}" for n in range(40)]
        bodies = [b'{"sender":"anna","message":"%s"}' % text.encode() for text in texts]
        await client.send(
            b"".join(
                head(f"{PATH}{'?a=b' if n % 3 == 1 else ''}", f"Content-Length: {len(body)}") + body
                for n, body in enumerate(bodies)
            )
        )
        for _ in texts:
            assert (await client.answer()).status == 200
        assert [message.text for message in webhook.messages] == texts


def receives(answer: Callable[[], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @direct
    async def receive(self: Connector, request: Any, incoming: Request, inbox: Inbox) -> Any:
        return await answer()

    return receive


async def fails() -> None:
    raise LookupError


async def returns_nothing() -> None:
    return None


async def returns_an_empty_response() -> HTTPResponse:
    return empty(204, {"X-Name": "a"})


async def returns_an_error() -> HTTPResponse:
    return text("no", 418)


ANSWERS = [fails, returns_nothing, returns_an_empty_response, returns_an_error]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: str(each.__name__))
async def test_whatever_a_connector_does_has_the_same_answer(
    answer: Callable[[], Awaitable[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(CallbackConnector, "receive", receives(answer))
    found = []
    for way in ("direct", "Sanic"):
        caplog.clear()
        async with a_webhook(callback_table.TABLE) as webhook:
            if way == "Sanic":
                intake().routes = Routes({})
            answered = await answers(webhook, WHOLE)
            assert not intake().held
            # Sanic tells its address, if a test before this one has it log that.
            warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
            said = [each.getMessage().partition("\n")[0] for each in warnings]
            found.append((answered, said))
    assert found[0] == found[1]


async def test_an_override_that_is_not_marked_receives_sanics_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received = []

    async def receive(self: Connector, request: Any, incoming: Request, inbox: Inbox) -> Any:
        received.append(type(request))
        return text("")

    monkeypatch.setattr(CallbackConnector, "receive", receive)
    async with a_webhook(callback_table.TABLE) as webhook:
        await answers(webhook, WHOLE)
    assert received == [GuardedRequest] * 2


@pytest.mark.parametrize("hook", ["request", "response", "signal"])
async def test_an_app_with_middleware_or_signals_has_no_direct_route(
    hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = CallbackConnector.blueprint

    def blueprint(self: CallbackConnector, inbox: Inbox) -> Blueprint:
        made = original(self, inbox)

        async def note(*given: Any, **named: Any) -> None:
            seen.append(hook)

        if hook == "signal":
            made.signal("http.lifecycle.handle")(note)
        else:
            made.middleware(note, hook)
        return made

    monkeypatch.setattr(CallbackConnector, "blueprint", blueprint)
    async with a_webhook(callback_table.TABLE) as webhook:
        await answers(webhook, WHOLE)
        assert not intake().routes
        assert intake().routes is not None
    if hook != "signal":  # the runner has compiled Sanic without signals
        assert seen == [hook] * 2


async def test_a_variable_switches_it_off(
    monkeypatch: pytest.MonkeyPatch, sanics: list[GuardedRequest]
) -> None:
    monkeypatch.setenv("RASA_BRIDGE_HTTP", "library")
    async with a_webhook(callback_table.TABLE) as webhook:
        assert {answer.status for answer in await answers(webhook, WHOLE)} == {200}
        assert len(sanics) == 2


async def test_an_error_is_handled_by_the_channels_blueprint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = CallbackConnector.blueprint

    def blueprint(self: CallbackConnector, inbox: Inbox) -> Blueprint:
        made = original(self, inbox)

        async def handle(request: Any, error: Exception) -> HTTPResponse:
            return text(f"{type(error).__name__} at {request.path}", 418)

        made.exception(LookupError)(handle)
        return made

    monkeypatch.setattr(CallbackConnector, "blueprint", blueprint)
    monkeypatch.setattr(CallbackConnector, "receive", receives(fails))
    async with a_webhook(callback_table.TABLE) as webhook:
        assert intake().routes is None
        for answer in await answers(webhook, WHOLE):
            assert (answer.status, answer.body) == (418, f"LookupError at {PATH}".encode())
        assert intake().routes


async def test_a_request_of_an_app_with_an_access_log_is_sanics(
    sanics: list[GuardedRequest],
) -> None:
    async with a_webhook(callback_table.TABLE) as webhook:
        Sanic.get_app("rasa-channel-bridge").config.ACCESS_LOG = True
        await answers(webhook, WHOLE)
        assert len(sanics) == 2


async def test_a_client_that_leaves_ends_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    waiting = asyncio.Event()

    async def wait() -> None:
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    monkeypatch.setattr(CallbackConnector, "receive", receives(wait))
    async with a_webhook(callback_table.TABLE) as webhook:
        async with connected(webhook.base) as client:
            await client.send(WHOLE)
            await waiting.wait()
            assert intake().held == len(BODY)
        await eventually(lambda: ended)
        await eventually(lambda: not intake().held)


async def test_a_body_that_there_is_no_room_for_is_sanics(
    monkeypatch: pytest.MonkeyPatch, sanics: list[GuardedRequest]
) -> None:
    monkeypatch.setattr(limits, "MOST_BYTES", len(BODY) - 1)
    async with a_webhook(callback_table.TABLE) as webhook, connected(webhook.base) as client:
        await client.send(WHOLE)
        answer = await client.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert sanics


LINE = head(PATH).partition(b"\r\n")[0]


def known(*heads: bytes) -> tuple[Routes, list[Any]]:
    """Return routes, and what they find in these heads, each with a body of at most 100 bytes."""
    handler: Any = fails
    routes = Routes({LINE: Route(handler, PATH, 1000, None)})
    ends = [each.index(b"\r\n\r\n") for each in heads]
    found = [routes.announced(bytearray(h), end, 100) for h, end in zip(heads, ends, strict=True)]
    return routes, found


def test_a_head_that_was_seen_before_makes_another_request() -> None:
    same = head(PATH, "Content-Length: 28", "X-Name: a")
    _, (first, second) = known(same, same)
    first.headers["x-name"] = "b"
    assert second.headers["x-name"] == "a"
    assert (second.head, second.route) == (first.head, first.route)


def test_only_one_whole_request_with_a_known_head_passes_the_buffer_by() -> None:
    first = head(PATH, "Content-Length: 28")
    routes, _ = known(first)
    found = routes.whole(first + BODY, 28)
    assert found is not None
    assert (found.body, found.head) == (BODY, first[:-4])
    others = (
        (first + BODY[:-1], 28),
        (first + BODY + b"P", 28),
        (first + BODY, 27),
        (head(PATH, "Content-Length: 28", "X: a") + BODY, 28),
        (first[:-4] + b" " * 28, 1000),
        (b"", 28),
    )
    assert [routes.whole(data, room) for data, room in others] == [None] * len(others)


def test_a_known_head_that_has_not_ended_is_no_request() -> None:
    lines = len(head(PATH, "Content-Length: 28")) - 4
    # As many bytes as there would be, if the head ended at -1, where `find` finds nothing.
    same = head(PATH, f"Content-Length: {lines - 2}")
    assert len(same) - 4 == lines
    routes, _ = known(same)
    assert routes.whole(same + b"x" * (lines - 2), 100) is not None
    assert routes.whole(same[:-3], 100) is None


def test_a_known_head_is_still_refused_for_its_length_and_nothing_unusual_is_known() -> None:
    longer = head(PATH, "Content-Length: 101")
    refused = [head(PATH, "Content-Length: 2", line) for line in ("Content-Length: 2", "a b: c")]
    others = [head(PATH), head("/other", "Content-Length: 28"), head(PATH, "Content-Length: 1001")]
    routes, found = known(*(longer, *refused, *others) * 2)
    assert found == [None] * 12
    assert list(routes._known) == [longer[: longer.index(b"\r\n\r\n")]]


def test_heads_that_are_known_have_a_limit() -> None:
    routes, found = known(*(head(PATH, "Content-Length: 1", f"X: {n}") for n in range(1000)))
    assert len(routes._known) <= MOST_KNOWN
    assert None not in found
    routes, found = known(head(PATH, "Content-Length: 1", f"X: {'x' * LONGEST_KNOWN}"))
    assert not routes._known
    assert None not in found
