"""`webhook`: signatures of spec/standard-webhooks.md, and the bodies of `callback`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from tests.integration.connectors.tables import (
    Failure,
    Genuine,
    Incoming,
    Outgoing,
    Post,
    Sent,
    Table,
    as_bytes,
    key_of,
)

NOW = 1674087231
ID = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"
OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(b"a newer secret of 27 bytes.").decode()
OTHER = "whsec_" + base64.b64encode(b"somebody else's own secret!").decode()


def signature(body: bytes, id: str = ID, at: int | str = NOW, secret: str = NEW) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def post(value: Any, **headers: str) -> Post:
    """Sign a body; `headers` (with _ for -) replace the generated ones."""
    body = as_bytes(value)
    return Post(
        body,
        {
            "Content-Type": "application/json",
            "webhook-id": ID,
            "webhook-timestamp": str(NOW),
            "webhook-signature": signature(body),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def at(seconds: int) -> Post:
    return post(
        HELLO,
        webhook_timestamp=str(NOW + seconds),
        webhook_signature=signature(as_bytes(HELLO), at=NOW + seconds),
    )


HELLO = {"sender": "ada", "message": "hello"}
BODY = as_bytes(HELLO)
RASA = "Rasa does not have this channel; its callback does not check signatures"

INCOMING = [
    Incoming(
        "a signed message is one message, with the sender's id",
        post(HELLO),
        [
            {
                "id": ID,
                "sender_id": "ada",
                "text": "hello",
                "input_channel": "webhook",
                "output_channel": "webhook",
                "metadata": None,
                "route": {},
            }
        ],
        answer="success",
    ),
    Incoming(
        "metadata is passed on",
        post({**HELLO, "metadata": {"page": "/a"}}),
        [{"metadata": {"page": "/a"}}],
    ),
    Incoming(
        "the signed id takes precedence",
        Post(
            as_bytes({**HELLO, "message_id": "m-1"}),
            {
                **post({**HELLO, "message_id": "m-1"}).headers,
                "Idempotency-Key": "k-1",
            },
        ),
        [{"id": ID}],
    ),
    Incoming(
        "the older of two secrets is accepted",
        post(HELLO, webhook_signature=signature(BODY, secret=OLD)),
        [{"text": "hello"}],
    ),
    Incoming(
        "one valid signature among others is sufficient",
        post(
            HELLO,
            webhook_signature=f"v1a,ed25519 nonsense {signature(BODY, secret=OTHER)} "
            + signature(BODY),
        ),
        [{"text": "hello"}],
    ),
    Incoming("a timestamp nearly five minutes ago", at(-300), [{"text": "hello"}]),
    Incoming("a timestamp nearly five minutes ahead", at(300), [{"text": "hello"}]),
    *[
        Incoming(what, request, status=403, differs=RASA)
        for what, request in [
            ("more than five minutes ago", at(-301)),
            ("more than five minutes ahead", at(301)),
            (
                "another one's secret",
                post(HELLO, webhook_signature=signature(BODY, secret=OTHER)),
            ),
            ("the signature of another id", post(HELLO, webhook_id="msg_2")),
            (
                "the signature of another body",
                post({**HELLO, "message": "bye"}, **{"webhook_signature": signature(BODY)}),
            ),
            (
                "no id, though signed",
                post(HELLO, webhook_id="", webhook_signature=signature(BODY, id="")),
            ),
            (
                "a time of other digits",
                post(
                    HELLO,
                    webhook_timestamp="٣",
                    webhook_signature=signature(BODY, at="٣"),
                ),
            ),
            (
                "another version of a signature",
                post(HELLO, webhook_signature=signature(BODY).replace("v1,", "v2,")),
            ),
        ]
    ],
    Incoming(
        "a body that is not UTF-8 is refused",
        post(b'{"sender": "\xff", "message": "x"}'),
        status=403,
    ),
    Incoming("a missing sender is refused", post({"message": "hello"}), status=400, differs=RASA),
    Incoming("a missing message is refused", post({"sender": "ada"}), status=400, differs=RASA),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def sent(id: str = "e1:0", **fields: Any) -> Sent:
    body = {"recipient_id": "ada", **fields}
    id = key_of(id, fields).replace(".", "%2E")
    raw = json.dumps(body).encode()
    signatures = [signature(raw, id, secret=secret) for secret in (NEW, OLD)]
    return Sent(
        "/hook",
        body,
        {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(NOW),
            "webhook-signature": " ".join(signatures),
            "X-Api-Key": "k",
        },
    )


YES = {"title": "Yes", "payload": "/affirm"}
AS_IT_IS = "like the bridge's `callback`: the service gets the assistant's text unchanged"

OUTGOING = [
    Outgoing("a text is one signed call", {"text": "hi"}, [sent(text="hi")]),
    Outgoing("a text in any language", {"text": "naïve 👩‍🚀"}, [sent(text="naïve 👩‍🚀")]),
    Outgoing(
        "each paragraph is a call, with an id without a dot",
        {"text": "one\n\ntwo"},
        [sent("e1:0.0", text="one"), sent("e1:0.1", text="two")],
    ),
    Outgoing(
        "blank paragraphs are left out",
        {"text": "one\n\n\n\ntwo"},
        [sent("e1:0.0", text="one"), sent("e1:0.1", text="two")],
        differs="an empty text cannot be shown",
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
        {"kind": "attachment", "content": "https://x.org/a.pdf"},
        [sent(attachment="https://x.org/a.pdf")],
    ),
    Outgoing(
        "elements are passed on unchanged",
        {"kind": "elements", "content": [{"title": "T", "subtitle": "S", "buttons": [YES]}]},
        [sent(elements=[{"title": "T", "subtitle": "S", "buttons": [YES]}])],
        differs=AS_IT_IS,
    ),
    Outgoing(
        "custom JSON is passed on unchanged",
        {"kind": "custom", "content": {"a": [1, None]}},
        [sent(custom={"a": [1, None]})],
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
    Failure("an endpoint that no longer exists", RejectedDeliveryError, 410),
    Failure("a refused body", RejectedDeliveryError, 400, "sure: no", unquoted="sure"),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
    Failure("a secret that is not shared (401)", ServiceUnavailable, 401),
    Failure("a secret that is not shared (403)", ServiceUnavailable, 403),
]

TABLE = Table(
    channel="webhook",
    credentials=lambda url: {
        "url": f"{url}hook",
        "secret": [NEW, OLD],
        "headers": {"X-Api-Key": "k"},
    },
    accepts={},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[Genuine({**HELLO, "metadata": {"page": {"n": [1]}}}, post)],
    signed_by=["webhook-id", "webhook-timestamp", "webhook-signature"],
    secrets=[NEW, OLD],
    now=NOW,
)
