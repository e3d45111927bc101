"""Requests in the format that Rasa's rest and callback channels share."""

from __future__ import annotations

from typing import Any

from tests.unit.connectors.runner import Incoming, post

HELLO: dict[str, Any] = {"sender": "ada", "message": "hello"}


def rest_requests(channel: str) -> list[Incoming]:
    """Cases of a connector whose Rasa name is `channel`."""
    return [
        Incoming(
            "sender and message are enough",
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
        ),
        Incoming(
            "null is as good as missing",
            post({**HELLO, "metadata": None, "input_channel": None, "message_id": None}),
            [{"metadata": None, "input_channel": channel}],
        ),
        Incoming("unknown keys are ignored", post({**HELLO, "stream": 1}), [{"text": "hello"}]),
        Incoming(
            "a text is not changed",
            post({**HELLO, "message": " Zoë 👩‍🚀\n"}),
            [{"text": " Zoë 👩‍🚀\n"}],
        ),
        Incoming(
            "the sender's own id of the event is kept",
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
                *[
                    (
                        f"of {n}",
                        f'{{"sender": "a", "message": "b", "metadata": {{"n": {n}}}}}'.encode(),
                    )
                    for n in ("NaN", "Infinity", "-Infinity", "1e999")
                ],
                ("nested too deeply", b"[" * 100_000),
                ("null", None),
                ("a list", [HELLO]),
                ("a text", "hello"),
                ("a number", 7),
            ]
        ],
        *[
            Incoming(f"{key} {value!r} is refused", post({**HELLO, key: value}), status=400)
            for key in ("sender", "message")
            for value in (None, "", " \n", 7, True, ["ada"], {})
        ],
        *[
            Incoming(
                f"no {key} is refused",
                post({k: v for k, v in HELLO.items() if k != key}),
                status=400,
            )
            for key in HELLO
        ],
        *[
            Incoming(f"{key} {value!r} is refused", post({**HELLO, key: value}), status=400)
            for key, value in [
                ("metadata", "text"),
                ("metadata", [1]),
                ("metadata", 0),
                ("input_channel", 7),
                ("input_channel", {}),
                ("message_id", 7),
                ("message_id", []),
            ]
        ],
    ]
