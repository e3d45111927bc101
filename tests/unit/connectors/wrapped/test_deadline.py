"""An output channel that never returns delays its own reply, and not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.connectors.base import Connector, Request
from bridge.connectors.wrapped.outgoing import (
    CALL_TIMEOUT,
    deliver,
    send_in_time,
    send_through,
    send_with_retries,
)
from bridge.delivery import dispatcher as module
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import DeadlineExceeded, RetryableDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from tests.support.fakes import a_reply
from tests.support.virtual_time import virtually


class Hanging:
    """An output channel of Rasa that never returns."""

    def __init__(self) -> None:
        self.calls = 0

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        self.calls += 1
        await asyncio.Event().wait()


@virtually
async def test_a_held_output_channel_that_never_returns_loses_its_reply_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = Hanging()
    await send_with_retries(partial(send_through, output), a_reply())
    assert output.calls == 1
    assert "reply lost" in caplog.text


@virtually
async def test_a_collecting_output_channel_that_never_returns_fails_its_request() -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    with pytest.raises(DeadlineExceeded):
        await send_in_time(partial(send_through, Hanging()), a_reply())
    assert clock() - began < CALL_TIMEOUT + 1


class Blocked:
    """An output channel whose client blocks its thread."""

    def __init__(self, may_end: threading.Event) -> None:
        self._may_end = may_end

    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None:
        self._may_end.wait()


class Wrapping(Connector):
    name = "wrapping"

    def __init__(self, output: Any) -> None:
        self._channel = SimpleNamespace(get_output_channel=lambda: output)

    def parse(self, request: Request) -> list[InboundMessage]:
        return []

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, self._channel, None)


@pytest.fixture
def may_end() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


async def test_a_rebuilt_output_channel_whose_thread_hangs_is_given_up(
    may_end: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_TIMEOUT", 0.2)
    no_http: Any = None
    dispatcher = Dispatcher(Wrapping(Blocked(may_end)), no_http, CircuitBreaker("wrapping"))
    with pytest.raises(RetryableDeliveryError, match=r"did not answer within 0\.2 s"):
        await dispatcher.deliver(a_reply())
