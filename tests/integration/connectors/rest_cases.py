"""Requests in the format shared by Rasa's rest and callback channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.integration.connectors.tables import Incoming, Post, as_bytes, cases

HELLO: dict[str, Any] = {"sender": "ada", "message": "hello"}


def post(value: Any, headers: Mapping[str, str] | None = None) -> Post:
    return Post(as_bytes(value), {"Content-Type": "application/json", **(headers or {})})


SHARED = "Rasa runs a turn with it; all such senders share the conversation 'default'"
RUNS = "Rasa runs a turn with it"
HIDDEN = "Rasa hides its error behind an empty list"


def rest_requests(channel: str) -> list[Incoming]:
    """Cases for the channel `channel`; Rasa's own answers invalid requests with a 500."""
    breaks = HIDDEN if channel == "rest" else ""
    ignores = "Rasa's callback ignores it" if channel == "callback" else ""
    return [
        Incoming(
            "sender and message are sufficient",
            post(HELLO),
            [
                {
                    "sender_id": "ada",
                    "text": "hello",
                    "input_channel": channel,
                    "metadata": None,
                    "parse_data": None,
                    "route": {},
                    "reply_to": None,
                    "traceparent": None,
                }
            ],
        ),
        Incoming(
            "metadata is passed on",
            post({**HELLO, "metadata": {"page": {"url": "/a"}}}),
            [{"metadata": {"page": {"url": "/a"}}}],
        ),
        Incoming(
            "the sender may name another input channel",
            post({**HELLO, "input_channel": "website"}),
            [{"input_channel": "website", "channel": channel}],
            differs=ignores,
        ),
        Incoming(
            "null is the same as missing",
            post({**HELLO, "metadata": None, "input_channel": None, "message_id": None}),
            [{"metadata": None, "input_channel": channel}],
        ),
        Incoming("a number is an id", post({**HELLO, "sender": 5}), [{"sender_id": "5"}]),
        Incoming("a number is an event's id", post({**HELLO, "message_id": 7}), [{"id": "7"}]),
        Incoming("unknown keys are ignored", post({**HELLO, "stream": 1}), [{"text": "hello"}]),
        Incoming(
            "a text is not changed",
            post({**HELLO, "message": " Zoë 👩‍🚀\n"}),
            [{"text": " Zoë 👩‍🚀\n"}],
            differs="Rasa strips the text here, the bridge in the worker",
        ),
        Incoming(
            "the sender's event id is kept",
            post({**HELLO, "message_id": "m-1"}, {"idempotency-key": "k-1"}),
            [{"id": "m-1"}],
        ),
        Incoming(
            "an Idempotency-Key is the id",
            post(HELLO, {"idempotency-key": "k-1", "webhook-id": "w-1"}),
            [{"id": "k-1"}],
        ),
        Incoming("a webhook-id is the id", post(HELLO, {"webhook-id": "w-1"}), [{"id": "w-1"}]),
        Incoming(
            "the trace context is passed on",
            post(HELLO, {"traceparent": "00-1-2-01"}),
            [{"traceparent": "00-1-2-01"}],
        ),
        *[
            Incoming(f"a body that is {what} is refused", post(body), status=400)
            for what, body in [
                ("empty", b""),
                ("not JSON", b"sender=ada&message=hello"),
                ("not UTF-8", b'{"sender": "\xff"}'),
                ("truncated", b'{"sender": "ada"'),
                ("nested too deeply", b"[" * 100_000),
                ("null", None),
                ("a list", [HELLO]),
                ("a text", "hello"),
                ("a number", 7),
            ]
        ],
        *[
            Incoming(
                f"a body with {n} is refused",
                post(f'{{"sender": "a", "message": "b", "metadata": {{"n": {n}}}}}'.encode()),
                status=400,
                differs="Rasa accepts these numbers, which are not JSON",
            )
            for n in ("NaN", "Infinity", "-Infinity", "1e999")
        ],
        *[
            refused(key, value, why)
            for key, values, why in cases(
                ("sender", (None, "", " \n", True, ["ada"], {}), SHARED),
                ("message", (None, "", " \n", {}), RUNS),
                ("message", (7, True, ["ada"]), breaks),
                ("metadata", ("text", [1], 0), RUNS),
                ("input_channel", (7, {}), RUNS),
                ("message_id", ([], {}), RUNS),
            )
            for value in values
        ],
        Incoming(
            "a missing sender is refused", post({"message": "hi"}), status=400, differs=SHARED
        ),
        Incoming("a missing message is refused", post({"sender": "ada"}), status=400, differs=RUNS),
    ]


def refused(key: str, value: Any, differs: str) -> Incoming:
    return Incoming(
        f"{key} {value!r} is refused", post({**HELLO, key: value}), status=400, differs=differs
    )
