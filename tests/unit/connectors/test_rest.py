"""`rest`: requests as Rasa's RestInput takes them, answers as its CollectingOutputChannel gives."""

from __future__ import annotations

import pytest

from bridge.connectors.rest import RestConnector
from bridge.errors import RejectedDeliveryError
from tests.support.fakes import a_reply
from tests.unit.connectors.rest_cases import HELLO, rest_requests
from tests.unit.connectors.runner import Outgoing, RecordingHttp, post, replies_of, requests_of

BUTTON = {"title": "Yes", "payload": "/affirm"}

OUTGOING = [
    Outgoing("a text is one answer", {"text": "hi"}, [{"recipient_id": "ada", "text": "hi"}]),
    Outgoing(
        "a text is split on blank lines",
        {"text": "one\ntwo\n\nthree\n"},
        [
            {"recipient_id": "ada", "text": "one\ntwo"},
            {"recipient_id": "ada", "text": "three"},
        ],
    ),
    Outgoing(
        "buttons stand beside their text, which is not split",
        {"kind": "buttons", "text": "Sure?\n\nReally?", "content": [BUTTON]},
        [{"recipient_id": "ada", "text": "Sure?\n\nReally?", "buttons": [BUTTON]}],
    ),
    Outgoing(
        "quick replies become buttons",
        {"kind": "quick_replies", "text": "Sure?", "content": [BUTTON]},
        [{"recipient_id": "ada", "text": "Sure?", "buttons": [BUTTON]}],
    ),
    Outgoing(
        "an image is its URL",
        {"kind": "image", "content": "http://cats/1.png"},
        [{"recipient_id": "ada", "image": "http://cats/1.png"}],
    ),
    Outgoing(
        "an attachment is what the assistant said",
        {"kind": "attachment", "content": {"type": "file", "payload": {"url": "u"}}},
        [{"recipient_id": "ada", "attachment": {"type": "file", "payload": {"url": "u"}}}],
    ),
    Outgoing(
        "each element becomes a text with buttons",
        {
            "kind": "elements",
            "content": [
                {"title": "Paris", "subtitle": "France", "buttons": [BUTTON]},
                {"title": "Rome"},
            ],
        },
        [
            {"recipient_id": "ada", "text": "Paris : France", "buttons": [BUTTON]},
            {"recipient_id": "ada", "text": "Rome : ", "buttons": []},
        ],
    ),
    Outgoing("no elements are no answer", {"kind": "elements", "content": []}, []),
    Outgoing(
        "custom JSON is passed on as it is",
        {"kind": "custom", "content": {"blocks": [1, {"a": None}]}},
        [{"recipient_id": "ada", "custom": {"blocks": [1, {"a": None}]}}],
    ),
]

test_requests = requests_of(RestConnector(), rest_requests("rest"))
test_replies = replies_of(RestConnector(), OUTGOING)


def test_rasa_picks_responses_by_the_name_of_its_own_output_channel() -> None:
    (message,) = RestConnector().parse(post(HELLO))
    assert message.output_channel == "collector"


def test_two_requests_without_an_id_are_two_messages() -> None:
    ids = {RestConnector().parse(post(HELLO))[0].id for _ in range(100)}
    assert len(ids) == 100


async def test_a_reply_that_reaches_deliver_is_rejected() -> None:
    with pytest.raises(RejectedDeliveryError):
        await RestConnector().deliver(a_reply(), RecordingHttp())  # type: ignore[arg-type]
