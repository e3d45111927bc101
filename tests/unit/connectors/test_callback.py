"""`callback`: requests and POSTs as Rasa's CallbackInput has them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bridge.connectors.callback import CallbackConnector
from bridge.connectors.replies import idempotency_key
from bridge.delivery.http import Response
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, SettingsError
from tests.support.fakes import a_reply
from tests.unit.connectors.rest_cases import HELLO, rest_requests
from tests.unit.connectors.runner import Outgoing, post, replies_of, requests_of

URL = "http://bot.example/hook"
BUTTON = {"title": "Yes", "payload": "/affirm"}
ELEMENT = {"title": "Paris", "subtitle": "France", "buttons": [BUTTON]}

OUTGOING = [
    Outgoing(
        "a text is one POST",
        {"text": "hi"},
        [{"recipient_id": "ada", "text": "hi"}],
        [{"url": URL, "params": {}, "basic_auth": None}],
    ),
    Outgoing(
        "each paragraph is a POST with an idempotency key of its own",
        {"text": "one\n\ntwo"},
        [{"recipient_id": "ada", "text": "one"}, {"recipient_id": "ada", "text": "two"}],
        [
            {"headers": {"Idempotency-Key": "e1:0.0"}},
            {"headers": {"Idempotency-Key": "e1:0.1"}},
        ],
    ),
    *[
        Outgoing(
            f"{kind} are passed on with their text",
            {"kind": kind, "text": "Sure?", "content": [BUTTON]},
            [{"recipient_id": "ada", "text": "Sure?", kind: [BUTTON]}],
        )
        for kind in ("buttons", "quick_replies")
    ],
    *[
        Outgoing(
            f"{kind} is passed on as it is",
            {"kind": kind, "content": content},
            [{"recipient_id": "ada", kind: content}],
        )
        for kind, content in [
            ("image", "http://cats/1.png"),
            ("attachment", {"type": "file"}),
            ("elements", [ELEMENT]),
            ("custom", {"blocks": [1, {"a": None}]}),
        ]
    ],
    Outgoing(
        "a first delivery says nothing of another",
        {"text": "hi"},
        calls=[{"headers": {"Idempotency-Key": "e1:0", "X-Redelivered": None}}],
    ),
    Outgoing(
        "a reply that was handed out before says so",
        {"text": "hi", "redelivered": True},
        calls=[{"headers": {"Idempotency-Key": "e1:0", "X-Redelivered": "true"}}],
    ),
    Outgoing(
        "what may pass later is raised as it is",
        {"text": "one\n\ntwo"},
        [{"recipient_id": "ada", "text": "one"}],
        answers=[RetryableDeliveryError("HTTP 503")],
        error=RetryableDeliveryError,
    ),
    Outgoing(
        "a part that is rejected ends the reply",
        {"text": "one\n\ntwo\n\nthree"},
        [{"recipient_id": "ada", "text": "one"}, {"recipient_id": "ada", "text": "two"}],
        answers=[Response(200, {}, b""), RejectedDeliveryError("HTTP 400")],
        error=RejectedDeliveryError,
    ),
]

WITH_EVERY_KEY = CallbackConnector(
    URL,
    params={"tenant": "7"},
    headers={"X-Api-Key": "k"},
    basic_auth={"username": "u", "password": "p"},
    token="t",
    token_name="secret",
)

test_requests = requests_of(CallbackConnector(URL), rest_requests("callback"))
test_replies = replies_of(CallbackConnector(URL), OUTGOING)
test_replies_with_every_key = replies_of(
    WITH_EVERY_KEY,
    [
        Outgoing(
            "the keys of Rasa's EndpointConfig are used",
            {"text": "hi"},
            calls=[
                {
                    "url": URL,
                    "headers": {"X-Api-Key": "k", "Idempotency-Key": "e1:0"},
                    "params": {"tenant": "7", "secret": "t"},
                    "basic_auth": ("u", "p"),
                }
            ],
        )
    ],
)


def test_rasa_picks_responses_by_the_name_callback() -> None:
    (message,) = CallbackConnector(URL).parse(post(HELLO))
    assert message.output_channel == "callback"


@pytest.mark.parametrize(
    ("credentials", "named"),
    [
        ({}, "'url' is missing"),
        ({"url": URL, "basic_auth": {"username": "u"}}, "'password' is missing"),
        ({"url": URL, "hedaers": {}}, "did you mean 'headers'"),
        ({"url": URL, "params": "a=1"}, "key 'params'"),
    ],
)
def test_credentials_that_are_wrong_are_an_error_that_names_the_key(
    credentials: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        CallbackConnector.from_credentials(credentials)


def test_a_plain_id_is_its_own_idempotency_key() -> None:
    assert idempotency_key(a_reply("m-1:0.2")) == "m-1:0.2"


@given(st.text(), st.text())
def test_every_id_has_an_idempotency_key_that_a_header_can_hold(one: str, other: str) -> None:
    first, second = (idempotency_key(a_reply(id)) for id in (one, other))
    for key in (first, second):
        assert len(key) <= 255
        assert key.isascii()
        assert key.isprintable()
    assert (first == second) == (one == other)
