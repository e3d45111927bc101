"""Whole responses that reach a channel whose connector does not take them.

That happens if a wrapped channel was replaced by one of ours while replies were on the queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from bridge.connectors.base import Connector, Request
from bridge.connectors.toolkit.replies import calls, pieces
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import RejectedDeliveryError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from tests.support.fakes import a_reply

BUTTONS = [{"title": "Yes", "payload": "/affirm"}]
EVERYTHING = {
    "elements": [{"title": "Paris"}],
    "attachment": "https://x/b.pdf",
    "image": "https://x/a.png",
    "custom": {"a": 1},
    "text": "here is the plan",
    "buttons": BUTTONS,
    "quick_replies": None,
    "utter_action": "utter_plan",
}


def whole(content: Any) -> Reply:
    return a_reply(kind="response", content=content)


class Native(Connector):
    name = "native"

    def __init__(self) -> None:
        self.sent: list[Reply] = []

    def parse(self, request: Request) -> list[InboundMessage]:
        return []

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, ("text", "image"), 1000)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        self.sent.append(reply)


def dispatcher(connector: Connector) -> Dispatcher:
    no_http: Any = None
    return Dispatcher(connector, no_http, CircuitBreaker("native"))


async def test_a_native_channel_sends_its_parts() -> None:
    connector = Native()
    await dispatcher(connector).deliver(whole({"text": "plan", "image": "https://x/a.png"}))
    assert [(r.kind, r.text, r.content) for r in connector.sent] == [
        ("text", "plan", None),
        ("image", None, "https://x/a.png"),
    ]
    assert len({reply.id for reply in connector.sent}) == 2


async def test_a_channel_that_takes_whole_responses_receives_one() -> None:
    connector = Native()
    connector.whole_responses = True
    connector.split = lambda reply: [reply]  # type: ignore[method-assign]
    await dispatcher(connector).deliver(whole(EVERYTHING))
    (reply,) = connector.sent
    assert reply.content == EVERYTHING


def test_the_parts_have_the_order_of_rasa() -> None:
    found = pieces(whole(EVERYTHING))
    assert [part.kind for part in found] == ["buttons", "custom", "image", "attachment", "elements"]
    assert (found[0].text, found[0].content) == ("here is the plan", BUTTONS)
    assert found[0].options == {"utter_action": "utter_plan"}


@pytest.mark.parametrize(
    ("response", "kind", "text"),
    [
        ({"text": "hi", "quick_replies": BUTTONS, "buttons": BUTTONS}, "quick_replies", "hi"),
        ({"text": "hi", "buttons": []}, "text", "hi"),
        ({"buttons": BUTTONS}, "buttons", ""),
    ],
)
def test_of_texts_and_buttons_one_part_is_sent(
    response: dict[str, Any], kind: str, text: str
) -> None:
    (part,) = pieces(whole(response))
    assert (part.kind, part.text) == (kind, text)


def test_a_response_without_content_is_no_call() -> None:
    assert pieces(whole({"text": None, "utter_action": "utter_nothing"})) == []


async def test_a_response_that_is_no_object_is_rejected() -> None:
    with pytest.raises(RejectedDeliveryError, match="cannot be turned into a call"):
        await dispatcher(Native()).deliver(whole("text"))
