"""How a reply becomes calls of its connector."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import pytest

from bridge.connectors.base import Connector, Request
from bridge.connectors.toolkit.replies import paragraphs
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.runtime import work
from bridge.runtime.work import Work, working
from bridge.telemetry.trace.recorder import process_hops
from tests.support.fakes import a_reply
from tests.support.hops import hops_in

NO_HTTP: Any = object()
"""The dispatcher only passes the client on; no test makes a call with it."""


class FakeConnector(Connector):
    """Accepts every call for which the test plans no error."""

    name = "fake"

    def __init__(self) -> None:
        self.errors: list[Exception | None] = []
        self.calls: list[Reply] = []
        self.accepted: list[Reply] = []

    def parse(self, request: Request) -> list[InboundMessage]:
        return []

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        assert http is NO_HTTP
        self.calls.append(reply)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.accepted.append(reply)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return paragraphs(reply)

    @property
    def texts(self) -> list[str | None]:
        return [reply.text for reply in self.accepted]


class FakeBreaker(CircuitBreaker):
    def __init__(self) -> None:
        super().__init__("fake")
        self.told: list[str] = []

    def succeeded(self, recipient: Any) -> None:
        self.told.append("succeeded")

    def failed(self, recipient: Any, error: Exception) -> None:
        self.told.append(f"failed {recipient[1]}")


def make() -> tuple[Dispatcher, FakeConnector, FakeBreaker]:
    connector, breaker = FakeConnector(), FakeBreaker()
    return Dispatcher(connector, NO_HTTP, breaker), connector, breaker


async def test_a_reply_in_one_part_is_one_call_with_its_own_id() -> None:
    dispatcher, connector, breaker = make()
    reply = a_reply("e1:0", text="hi")
    await dispatcher.deliver(reply)
    assert connector.calls == [reply]
    assert breaker.told == ["succeeded"]


async def test_each_part_is_one_call_in_order_with_its_own_id() -> None:
    dispatcher, connector, _ = make()
    await dispatcher.deliver(a_reply("e1:0", text="one\n\ntwo\n\nthree"))
    assert [(r.id, r.text) for r in connector.calls] == [
        ("e1:0.0", "one"),
        ("e1:0.1", "two"),
        ("e1:0.2", "three"),
    ]


async def test_the_hop_of_each_call_has_its_own_answer_and_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatcher, connector, _ = make()

    async def deliver(reply: Reply, http: HttpClient) -> None:
        if reply.text == "two":
            raise RetryableDeliveryError("no answer")
        work.answered(201)
        work.accepted("wamid.1")

    monkeypatch.setattr(connector, "deliver", deliver)
    process_hops.on(1)
    try:
        with working(Work("fake ada e1:0")), pytest.raises(RetryableDeliveryError):
            await dispatcher.deliver(a_reply("e1:0", text="one\n\ntwo"))
        hops = hops_in()
    finally:
        process_hops.on(-1)
    assert [(hop.kind, hop.status, hop.provider_id, hop.what) for hop in hops] == [
        ("call", 201, "wamid.1", ""),
        ("call", 0, "", "RetryableDeliveryError"),
    ]


async def test_the_parts_of_a_reply_have_the_same_ids_at_every_attempt() -> None:
    first, second = FakeConnector(), FakeConnector()
    for connector in (first, second):
        reply = a_reply("e1:0", text="one\n\ntwo")
        await Dispatcher(connector, NO_HTTP, FakeBreaker()).deliver(reply)
    assert [r.id for r in first.calls] == [r.id for r in second.calls]


async def test_a_retry_continues_after_the_last_accepted_part() -> None:
    dispatcher, connector, breaker = make()
    connector.errors = [None, RetryableDeliveryError("HTTP 503"), RetryableDeliveryError("again")]
    reply = a_reply("e1:0", text="one\n\ntwo\n\nthree")
    for _ in range(2):
        with pytest.raises(RetryableDeliveryError):
            await dispatcher.deliver(reply)
    await dispatcher.deliver(reply)
    assert [r.text for r in connector.calls] == ["one", "two", "two", "two", "three"]
    assert connector.texts == ["one", "two", "three"]
    assert breaker.told == ["succeeded", *["failed ada"] * 2, *["succeeded"] * 2]


async def test_a_delivered_reply_is_not_delivered_again() -> None:
    dispatcher, connector, _ = make()
    for _ in range(2):
        await dispatcher.deliver(a_reply("e1:0", text="one\n\ntwo"))
    assert connector.texts == ["one", "two"]


async def test_the_same_id_to_another_recipient_is_delivered() -> None:
    dispatcher, connector, _ = make()
    await dispatcher.deliver(a_reply("1:0", recipient_id="ada"))
    await dispatcher.deliver(a_reply("1:0", recipient_id="bob"))
    assert [r.recipient_id for r in connector.accepted] == ["ada", "bob"]


async def test_a_rejected_call_proves_that_the_service_is_up() -> None:
    dispatcher, connector, breaker = make()
    connector.errors = [RejectedDeliveryError("HTTP 400")]
    with pytest.raises(RejectedDeliveryError):
        await dispatcher.deliver(a_reply())
    assert breaker.told == ["succeeded"]


async def test_a_reply_whose_response_cannot_be_read_is_rejected_without_quoting_it() -> None:
    dispatcher, connector, breaker = make()
    connector.errors = [KeyError("secret")]
    with pytest.raises(
        RejectedDeliveryError, match=r"KeyError at test_dispatcher\.py:\d+"
    ) as caught:
        await dispatcher.deliver(a_reply())
    assert "secret" not in str(caught.value)
    assert breaker.told == []


async def test_any_other_exception_of_a_connector_does_not_affect_the_breaker() -> None:
    dispatcher, connector, breaker = make()
    connector.errors = [RuntimeError("a bug")]
    with pytest.raises(RuntimeError):
        await dispatcher.deliver(a_reply())
    assert breaker.told == []


def open_it(breaker: CircuitBreaker) -> None:
    breaker._evidence.accepted_at = float("-inf")
    breaker.failed("eve", ServiceUnavailable("no connection"))


@pytest.mark.parametrize("error", [KeyError("a bug"), None])
async def test_a_probe_without_a_result_may_not_call_again(error: Exception | None) -> None:
    """One case is a connector with a bug, the other a reply that needs no call."""
    connector, breaker = FakeConnector(), CircuitBreaker("fake")
    connector.errors = [error]
    dispatcher = Dispatcher(connector, NO_HTTP, breaker)
    open_it(breaker)
    reply = a_reply("e1:0", recipient_id="bob", text="hi" if error else "  \n\n ")
    await breaker.passage(reply.lane())
    with pytest.raises(RejectedDeliveryError) if error else nullcontext():
        await dispatcher.deliver(reply)
    assert not connector.accepted
    assert not breaker.may_call(reply.lane())


async def test_without_a_rate_limit_nothing_waits() -> None:
    dispatcher, connector, _ = make()
    delivering = [dispatcher.deliver(a_reply(f"e{n}:0")) for n in range(500)]
    await asyncio.wait_for(asyncio.gather(*delivering), 30)
    assert len(connector.accepted) == 500
