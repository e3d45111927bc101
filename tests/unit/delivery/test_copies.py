"""Which copy of a reply a service gets, and how it is marked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import pytest

from bridge.connectors.base import Connector, Request
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import CALL_TIMEOUT, Dispatcher
from bridge.errors import (
    RejectedDeliveryError,
    RetryableDeliveryError,
    ServiceUnavailable,
)
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply, decode, encode
from tests.support.fakes import a_reply
from tests.support.virtual_time import virtually

NO_HTTP: Any = None
LATE = RetryableDeliveryError("the service did not answer in time")
GONE = ServiceUnavailable("no connection")


class Service(Connector):
    """Fails as planned, then accepts; "hang" never returns."""

    name = "service"

    def __init__(self, *plan: Exception | str | None) -> None:
        self.plan = list(plan)
        self.calls: list[Reply] = []

    def parse(self, request: Request) -> list[InboundMessage]:
        return []

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        self.calls.append(reply)
        step = self.plan.pop(0) if self.plan else None
        if step == "hang":
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step

    @property
    def marks(self) -> list[tuple[str | None, bool]]:
        return [(reply.text, reply.redelivered) for reply in self.calls]


async def attempts(service: Service, replies: Iterable[Reply]) -> None:
    """Attempt each reply once, whatever comes of it."""
    clock = asyncio.get_running_loop().time
    dispatcher = Dispatcher(service, NO_HTTP, CircuitBreaker("service", clock))
    for reply in replies:
        while not dispatcher.breaker.is_open:
            await asyncio.sleep(1)
            await dispatcher.breaker.passage(reply.lane())
            break
        with contextlib.suppress(RetryableDeliveryError, RuntimeError):
            await dispatcher.deliver(reply)


REPLY = a_reply("e1:0", text="hi")


@pytest.mark.parametrize(
    "error", [LATE, RetryableDeliveryError("HTTP 500"), RuntimeError("a bug"), "hang"]
)
@virtually
async def test_every_attempt_after_one_that_was_sent_is_marked(error: Any) -> None:
    service = Service(error, error)
    await attempts(service, [REPLY] * 3)
    assert service.marks == [("hi", False), ("hi", True), ("hi", True)]


@virtually
async def test_an_attempt_that_sent_nothing_leaves_no_mark() -> None:
    service = Service(GONE, GONE, LATE, GONE)
    await attempts(service, [REPLY] * 5)
    assert [mark for _, mark in service.marks] == [False, False, False, True, True]


@virtually
async def test_each_part_has_its_own_mark() -> None:
    service = Service(None, LATE)
    await attempts(service, [a_reply("e1:0", text="one\n\ntwo\n\nthree")] * 2)
    assert service.marks == [("one", False), ("two", False), ("two", True), ("three", False)]


@virtually
async def test_a_cancelled_attempt_counts_as_sent() -> None:
    service = Service("hang")
    dispatcher = Dispatcher(service, NO_HTTP, CircuitBreaker("service"))
    sending = asyncio.ensure_future(dispatcher.deliver(REPLY))
    await asyncio.sleep(1)
    sending.cancel()
    await asyncio.wait([sending])
    await dispatcher.deliver(REPLY)
    assert [mark for _, mark in service.marks] == [False, True]


@virtually
async def test_a_call_that_never_returns_is_given_up_after_a_minute() -> None:
    service = Service("hang")
    clock = asyncio.get_running_loop().time
    dispatcher = Dispatcher(service, NO_HTTP, CircuitBreaker("service", clock))
    began = clock()
    with pytest.raises(RetryableDeliveryError, match="did not answer within 60 s"):
        await dispatcher.deliver(REPLY)
    assert CALL_TIMEOUT <= clock() - began < CALL_TIMEOUT + 1


@virtually
async def test_hanging_calls_end_all_their_lanes() -> None:
    service = Service(*["hang"] * 256)
    dispatcher = Dispatcher(service, NO_HTTP, CircuitBreaker("service"))
    replies = [a_reply(f"e{n}:0", recipient_id=f"r{n}") for n in range(256)]
    ended = await asyncio.gather(*map(dispatcher.deliver, replies), return_exceptions=True)
    assert {type(error) for error in ended} == {RetryableDeliveryError}


@virtually
async def test_the_same_id_and_content_is_sent_once() -> None:
    service = Service()
    await attempts(service, [REPLY, decode(encode(REPLY), Reply), REPLY])
    assert service.marks == [("hi", False)]


@virtually
async def test_the_same_id_with_another_content_is_sent_with_another_key() -> None:
    """A turn that ran again said something else."""
    replies = [
        a_reply("e1:0", text="hi"),
        a_reply("e1:0", text="hello"),
        a_reply("e1:0", text="hi", options={"markdown": True}),
        a_reply("e1:0", kind="image", content="https://a.example/1.png"),
        a_reply("e1:0", kind="image", content="https://a.example/2.png"),
    ]
    service = Service()
    await attempts(service, [*replies, *replies])
    assert service.calls == replies
    assert len({idempotency_key(reply) for reply in service.calls}) == len(replies)


def test_the_key_is_equal_for_copies_from_another_process() -> None:
    content = {"b": [1, {"d": None, "c": "é"}], "a": 2.5}
    turned = {"a": 2.5, "b": [1, {"c": "é", "d": None}]}
    one = a_reply("e1:0", kind="custom", content=content)
    other = a_reply("e1:0", kind="custom", content=turned, redelivered=True, created_at=1.0)
    assert idempotency_key(one) == idempotency_key(decode(encode(other), Reply))
    assert idempotency_key(one) == "e1:0-8e4d1b2442fc2a25"


def test_a_reply_without_a_canonical_form_still_has_a_key() -> None:
    reply = a_reply("e1:0", kind="custom", content={1: 2, "a": 3})
    assert idempotency_key(reply).startswith("e1:0-")


@virtually
async def test_a_rejected_call_is_not_repeated() -> None:
    service = Service(RejectedDeliveryError("HTTP 400"))
    dispatcher = Dispatcher(service, NO_HTTP, CircuitBreaker("service"))
    with pytest.raises(RejectedDeliveryError):
        await dispatcher.deliver(REPLY)
