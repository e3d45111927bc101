"""`rest`: the bodies of Rasa's RestInput, a channel that answers in the response."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.connectors.rest_cases import post, rest_requests
from tests.integration.connectors.tables import Genuine, Incoming, Post, Table, as_bytes

HELLO = {"sender": "ada", "message": "hello", "message_id": "m-1", "metadata": {"page": {"n": [1]}}}
YES = {"title": "Yes", "payload": "/affirm"}
KINDS: list[dict[str, Any]] = [
    {"text": "one\n\ntwo\n"},
    {"kind": "buttons", "text": "Sure?\n\nReally?", "content": [YES]},
    {"kind": "quick_replies", "text": "Sure?", "content": [YES]},
    {"kind": "image", "content": "https://x.org/c.png"},
    {"kind": "attachment", "content": "https://x.org/a.pdf"},
    {
        "kind": "elements",
        "content": [{"title": "T", "subtitle": "S", "buttons": [YES]}, {"title": "U"}],
    },
    {"kind": "elements", "content": []},
    {"kind": "custom", "content": {"a": [1]}},
]
ANSWER = [
    {"recipient_id": "ada", "text": "one"},
    {"recipient_id": "ada", "text": "two"},
    {"recipient_id": "ada", "text": "Sure?\n\nReally?", "buttons": [YES]},
    {"recipient_id": "ada", "text": "Sure?", "buttons": [YES]},
    {"recipient_id": "ada", "image": "https://x.org/c.png"},
    {"recipient_id": "ada", "attachment": "https://x.org/a.pdf"},
    {"recipient_id": "ada", "text": "T : S", "buttons": [YES]},
    {"recipient_id": "ada", "text": "U : ", "buttons": []},
    {"recipient_id": "ada", "custom": {"a": [1]}},
]


INCOMING = [
    Incoming(
        "the replies are the response",
        post({"sender": "ada", "message": "hello"}),
        [{"sender_id": "ada", "text": "hello", "input_channel": "rest", "metadata": None}],
        answer=ANSWER,
        replies=KINDS,
    ),
    Incoming("a turn without replies", post(HELLO), [{"id": "m-1"}], answer=[]),
    Incoming(
        "another input channel",
        post({**HELLO, "input_channel": "website"}),
        [{"input_channel": "website"}],
    ),
    Incoming(
        "with ?stream=true the response is lines",
        Post(as_bytes(HELLO), post(HELLO).headers, path="webhook?stream=true"),
        [{"output_channel": "queue"}],
        answer="".join(json.dumps(line) + "\n" for line in ANSWER),
        replies=KINDS,
    ),
    *rest_requests("rest"),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
]

TABLE = Table(
    channel="rest",
    credentials=lambda url: {},
    accepts=None,
    incoming=INCOMING,
    outgoing=[],
    failures=[],
    genuine=[Genuine(HELLO, post)],
    any_content_type=True,
    synchronous=True,
)
