"""Output channels that send whole responses: which ones they are, and what they receive."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bridge.connectors.wrapped import WrappedConnector
from bridge.connectors.wrapped.outgoing import overrides_send_response, send_through
from bridge.messages import InboundMessage, Reply
from tests.support.fakes import a_reply

RESPONSE = {"text": "here is the plan", "image": "https://x/a.png", "buttons": [{"title": "Yes"}]}


class Base:
    """Stands for Rasa's class, which the edges do not have."""

    def name(self) -> str:
        return "respio"

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None: ...


Base.send_response.__module__ = "rasa.core.channels.channel"


class Plain(Base):
    async def send_text_message(self, recipient_id: str, text: str, **kwargs: Any) -> None: ...


class Overriding(Plain):
    """Consumes the response while it sends it, as Rasa's own method does."""

    def __init__(self, failures: int = 0) -> None:
        self.received: list[dict[str, Any]] = []
        self._failures = failures

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None:
        self.received.append({key: message.pop(key, None) for key in ("text", "image", "buttons")})
        if len(self.received) <= self._failures:
            raise ConnectionError


class Inheriting(Overriding):
    pass


class Duck:
    """Like Chatwoot's: no subclass of anything."""

    def name(self) -> str:
        return "duck"

    async def send_response(self, recipient_id: str, message: dict[str, Any]) -> None: ...


@pytest.mark.parametrize("make", [Overriding, Inheriting, Duck])
def test_these_send_whole_responses(make: Callable[[], Any]) -> None:
    assert overrides_send_response(make())


@pytest.mark.parametrize("make", [Base, Plain, SimpleNamespace])
def test_these_send_the_parts_of_a_response(make: Callable[[], Any]) -> None:
    assert not overrides_send_response(make())


async def test_another_attempt_finds_the_whole_response() -> None:
    output, reply = Overriding(failures=1), a_reply(kind="response", content=RESPONSE)
    before = reply.identity
    with pytest.raises(ConnectionError):
        await send_through(output, reply)
    await send_through(output, reply)
    assert output.received == [RESPONSE, RESPONSE]
    assert reply.identity == before


class Input:
    def __init__(self, rebuilt: Any) -> None:
        self.get_output_channel = lambda: rebuilt

    def name(self) -> str:
        return "respio"


class Inbox:
    def __init__(self) -> None:
        self.messages: list[InboundMessage] = []

    async def enqueue(self, message: InboundMessage) -> None:
        self.messages.append(message)


def says(output: Any) -> Any:
    return SimpleNamespace(
        text="go",
        output_channel=output,
        sender_id="u1",
        message_id="m1",
        input_channel=None,
        parse_data=None,
        metadata=None,
    )


@pytest.fixture(autouse=True)
def _quiet_structlog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "structlog", ModuleType("structlog"))
    monkeypatch.setattr(sys.modules["structlog"], "is_configured", lambda: True, raising=False)


@pytest.mark.parametrize(
    ("rebuilt", "of_request", "whole"),
    [
        (Overriding(), Overriding(), True),
        (Plain(), Plain(), False),
        # Those that `deliver` will use count, and not the one of the request.
        (Overriding(), Plain(), True),
        (Plain(), Overriding(), False),
    ],
)
async def test_the_output_channel_that_will_send_decides(
    rebuilt: Any, of_request: Any, whole: bool
) -> None:
    connector: Any = WrappedConnector(Input(rebuilt))
    connector.channel = "respio"
    inbox = Inbox()
    await connector._enqueue(says(of_request), inbox)
    assert [message.whole_responses for message in inbox.messages] == [whole]


class Collects:
    """A webhook process that holds the output channel of a request."""

    def __init__(self) -> None:
        self.messages: list[InboundMessage] = []

    def collect(self, message: InboundMessage, timeout: float) -> Any:
        self.messages.append(message)
        kind: Any = "response" if message.whole_responses else "text"
        return Turn([a_reply(kind=kind, content=RESPONSE, text="here is the plan")])


class Turn:
    def __init__(self, replies: list[Reply]) -> None:
        self._replies = iter(replies)

    async def enqueued(self) -> None: ...

    def __aiter__(self) -> Turn:
        return self

    async def __anext__(self) -> Reply:
        for reply in self._replies:
            return reply
        raise StopAsyncIteration


async def test_an_output_channel_that_the_webhook_holds_receives_the_whole_response() -> None:
    output: Any = Overriding()
    output.messages = output.received
    connector: Any = WrappedConnector(Input(None))
    inbox = Collects()
    assert await connector._enqueue(says(output), inbox) == [RESPONSE]
    assert inbox.messages[0].whole_responses
