"""`callback`: requests and POSTs in the format of Rasa's CallbackInput, each with an id."""

from __future__ import annotations

from typing import Any

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from tests.integration.connectors.rest_cases import HELLO, post, rest_requests
from tests.integration.connectors.tables import (
    Failure,
    Genuine,
    Incoming,
    Outgoing,
    Post,
    Sent,
    Table,
    key_of,
)

YES = {"title": "Yes", "payload": "/affirm"}
ELEMENT = {"title": "Paris", "subtitle": "France", "buttons": [YES]}
AS_IT_IS = "the service gets the assistant's text unchanged"

INCOMING = [
    *rest_requests("callback"),
    Incoming(
        "the response is Rasa's", post(HELLO), [{"output_channel": "callback"}], 200, "success"
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def sent(id: str = "e1:0", **fields: Any) -> Sent:
    headers = {
        "Content-Type": "application/json",
        "X-Api-Key": "k",
        "Authorization": "Basic dTpw",
        "Idempotency-Key": key_of(id, fields),
    }
    return Sent("/hook", {"recipient_id": "ada", **fields}, headers)


OUTGOING = [
    Outgoing("a text is one call", {"text": "hi"}, [sent(text="hi")]),
    Outgoing(
        "each paragraph is a call with its own id",
        {"text": "one\n\ntwo"},
        [sent("e1:0.0", text="one"), sent("e1:0.1", text="two")],
    ),
    Outgoing(
        "buttons are sent with their text",
        {"kind": "buttons", "text": "Sure?", "content": [YES]},
        [sent(text="Sure?", buttons=[YES])],
    ),
    Outgoing(
        "quick replies are passed on unchanged",
        {"kind": "quick_replies", "text": "Sure?", "content": [YES]},
        [sent(text="Sure?", quick_replies=[YES])],
        differs=AS_IT_IS,
    ),
    Outgoing(
        "an image is its URL",
        {"kind": "image", "content": "https://x.org/c.png"},
        [sent(image="https://x.org/c.png")],
    ),
    Outgoing(
        "an attachment is passed on unchanged",
        {"kind": "attachment", "content": {"type": "file"}},
        [sent(attachment={"type": "file"})],
    ),
    Outgoing(
        "elements are passed on unchanged",
        {"kind": "elements", "content": [ELEMENT]},
        [sent(elements=[ELEMENT])],
        differs=AS_IT_IS,
    ),
    Outgoing(
        "custom JSON is passed on unchanged",
        {"kind": "custom", "content": {"blocks": [1, {"a": None}]}},
        [sent(custom={"blocks": [1, {"a": None}]})],
    ),
    Outgoing(
        "a redelivered reply is marked",
        {"text": "hi", "redelivered": True},
        [Sent("/hook", {"recipient_id": "ada", "text": "hi"}, {"X-Redelivered": "true"})],
    ),
]

FAILURES = [
    Failure(
        "429 with Retry-After", RetryableDeliveryError, 429, "", {"Retry-After": "9"}, retry_after=9
    ),
    Failure("500", RetryableDeliveryError, 500),
    Failure("a proxy's 502", RetryableDeliveryError, 502, "<html>"),
    Failure("credentials that are not accepted", ServiceUnavailable, 401),
    Failure("a refused body", RejectedDeliveryError, 400, "sure: no", unquoted="sure"),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
]

TABLE = Table(
    channel="callback",
    credentials=lambda url: {
        "url": f"{url}hook",
        "headers": {"X-Api-Key": "k"},
        "basic_auth": {"username": "u", "password": "p"},
    },
    accepts={},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[Genuine({**HELLO, "message_id": "m-1", "metadata": {"page": {"n": [1]}}}, post)],
    any_content_type=True,
)
