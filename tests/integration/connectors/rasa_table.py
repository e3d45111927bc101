"""`rasa`: tokens and bodies as rasa/core/channels/rasa_chat.py (3.6) reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.connectors.rest_table import ANSWER, KINDS
from tests.integration.connectors.tables import (
    Genuine,
    Incoming,
    Post,
    Table,
    as_bytes,
    canonical,
)

SIGNING, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def public(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: Any = SIGNING, alg: str = "RS256", **claims: Any) -> str:
    """Sign a token of the user ada that is valid for an hour; None removes a claim."""
    all_claims = {"username": "ada", "exp": int(time.time()) + 3600, **claims}
    said = {name: value for name, value in all_claims.items() if value is not None}
    return canonical(lambda n: jwt.encode({**said, "jti": str(n)}, key, alg))


def posting(token: str, path: str = "webhook") -> Callable[[Any], Post]:
    def post(value: Any) -> Post:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        return Post(as_bytes(value), headers, path=path)

    return post


HELLO = {"message": "hello", "message_id": "m-1", "metadata": {"page": {"n": [1]}}}
ADA = posting(token())
TRAINER = posting(token(username="eve", scopes=["clientEvents:create"]))

INCOMING = [
    Incoming(
        "the token identifies the user, and the response is that of rest",
        ADA({"message": "hello"}),
        [
            {
                "sender_id": "ada",
                "text": "hello",
                "input_channel": "rasa",
                "output_channel": "collector",
            }
        ],
        answer=ANSWER,
        replies=KINDS,
    ),
    Incoming("id and metadata", ADA(HELLO), [{"id": "m-1", "metadata": HELLO["metadata"]}]),
    Incoming(
        "a sender in the body is ignored", ADA({**HELLO, "sender": "eve"}), [{"sender_id": "ada"}]
    ),
    Incoming(
        "with ?stream=true the response is lines",
        posting(token(), "webhook?stream=true")(HELLO),
        [{"sender_id": "ada", "output_channel": "queue"}],
    ),
    Incoming(
        "a token in the query",
        Post(
            as_bytes(HELLO), {"Content-Type": "application/json"}, path=f"webhook?token={token()}"
        ),
        [{"sender_id": "ada"}],
    ),
    Incoming(
        "the user's own conversation",
        ADA({**HELLO, "conversation_id": "ada"}),
        [{"sender_id": "ada"}],
    ),
    Incoming(
        "another user's conversation, with the scope for it",
        TRAINER({**HELLO, "conversation_id": "ada"}),
        [{"sender_id": "ada"}],
    ),
    Incoming(
        "another user's conversation, without the scope",
        ADA({**HELLO, "conversation_id": "eve"}),
        status=403,
    ),
    Incoming(
        "a null conversation is the user's own",
        ADA({**HELLO, "conversation_id": None}),
        [{"sender_id": "ada"}],
        differs="Rasa refuses null",
    ),
    Incoming(
        "a conversation that is not a string",
        TRAINER({**HELLO, "conversation_id": 7}),
        status=400,
        differs="Rasa accepts it as a conversation",
    ),
    *[
        Incoming(what, posting(value)(HELLO), status=403)
        for what, value in [
            ("a token of another key", token(OTHER)),
            ("a token that has expired", token(exp=int(time.time()) - 60)),
            ("an unsigned token", jwt.encode({"username": "ada"}, "", "none")),
            ("a token signed by another algorithm", token("k" * 64, "HS256")),
            ("a token without a user", token(username=None)),
            ("no token", "x"),
        ]
    ],
    Incoming(
        "a user that is not a string",
        posting(token(username=7))(HELLO),
        status=403,
        differs="Rasa accepts it as a conversation",
    ),
    Incoming(
        "a token without Authorization or query",
        Post(as_bytes(HELLO), {"Content-Type": "application/json"}),
        status=403,
    ),
    Incoming(
        "a missing message is refused",
        ADA({"sender": "ada"}),
        status=400,
        differs="Rasa runs a turn without a text",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
]

KEYS = {"/api/version": {"rasa": "3.6.21", "keys": [{"key": public(SIGNING), "alg": "RS256"}]}}

TABLE = Table(
    channel="rasa",
    credentials=lambda url: {"url": url.rstrip("/") + "/api"},
    accepts=None,
    incoming=INCOMING,
    outgoing=[],
    failures=[],
    genuine=[Genuine(HELLO, ADA), Genuine({**HELLO, "conversation_id": "bob"}, TRAINER)],
    signed_by=["Authorization"],
    secrets=[token().partition(".")[0]],
    any_content_type=True,
    synchronous=True,
    asked=lambda call: web.json_response(KEYS[call.path]),
)
