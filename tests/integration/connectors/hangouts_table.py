"""`hangouts`: shapes of developers.google.com/workspace/chat (Event, cards, bearer tokens)."""

from __future__ import annotations

import datetime
import time
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.integration.connectors.tables import Genuine, Incoming, Post, Table, as_bytes
from tests.support.service import Call

PROJECT = "1234567890"
ISSUER = "chat@system.gserviceaccount.com"
CERTS = f"/v1/metadata/x509/{ISSUER}"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate(name: str) -> str:
    """Return a self-signed certificate in PEM, like Google's."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chat.system")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(name).public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key(name), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def token(signer: str = "google", kid: str = "google", **claims: Any) -> str:
    """Return a bearer token; None removes a claim."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": PROJECT, "iat": now - 10, "exp": now + 3600, **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key(signer), algorithm="RS256", headers={"kid": kid})


URL = "https://bot.example/webhooks/hangouts/webhook"


def id_token(signer: str = "google", **claims: Any) -> str:
    """Return a token like Google's for a URL."""
    account = {"email": ISSUER, "email_verified": True}
    said = {"iss": "https://accounts.google.com", "aud": URL, **account, **claims}
    return token(signer, **said)


@cache
def genuine_token() -> str:
    """Return a token that becomes another one if its last character changes.

    Only two bits of the last character of a 256-byte signature are significant.
    """
    tokens = (token(jti=str(n)) for n in range(1000))
    return next(each for each in tokens if each[-1] not in "wxyz0123456789-_")


def of_project(number: str) -> str:
    return f"service-{number}@gcp-sa-gsuiteaddons.iam.gserviceaccount.com"


def asked(call: Call) -> web.Response:
    return web.json_response(
        {"google": certificate("google")}, headers={"Cache-Control": "public, max-age=20000"}
    )


ADA = {
    "name": "users/12345678901234567890",
    "displayName": "Ada Lovelace",
    "avatarUrl": "https://x.org/a.png",
    "email": "ada@example.com",
    "type": "HUMAN",
}
ROOM = {"name": "spaces/AAAAAAAAAAA", "displayName": "Engines", "type": "ROOM"}
DM = {"name": "spaces/BBBBBBBBBBB", "type": "DM", "singleUserBotDm": True}
THREAD = {"name": "spaces/AAAAAAAAAAA/threads/CCCCCCCCCCC"}
NAME = "spaces/AAAAAAAAAAA/messages/DDDDDDDDDDD"


def event(kind: str = "MESSAGE", **changes: Any) -> dict[str, Any]:
    """Return an event; None removes a key."""
    value = {
        "type": kind,
        "eventTime": "2026-03-02T19:02:59.910959Z",
        "space": ROOM,
        "user": ADA,
        **changes,
    }
    return {name: inner for name, inner in value.items() if inner is not None}


def said(text: str | None = "@Bot hello", **changes: Any) -> dict[str, Any]:
    message = {
        "name": NAME,
        "sender": ADA,
        "createTime": "2026-03-02T19:02:59.910959Z",
        "text": text,
        "argumentText": text and text.removeprefix("@Bot"),
        "thread": THREAD,
    }
    message = {name: inner for name, inner in message.items() if inner is not None}
    return event(message=message, **changes)


def bearing(bearer: str, value: Any = None) -> Post:
    body = as_bytes(said() if value is None else value)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {bearer}"}
    return Post(body, headers)


def post(value: Any) -> Post:
    return bearing(genuine_token(), value)


ABOUT = {
    "room": "Engines",
    "space": "spaces/AAAAAAAAAAA",
    "space_type": "ROOM",
    "user": "users/12345678901234567890",
    "user_display_name": "Ada Lovelace",
    "user_email": "ada@example.com",
}
YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}


def card(*widgets: Any) -> dict[str, Any]:
    return {"sections": [{"widgets": list(widgets)}]}


def paragraph(text: str) -> dict[str, Any]:
    return {"textParagraph": {"text": text}}


def button(title: str, payload: str) -> dict[str, Any]:
    return {"textButton": {"text": title, "onClick": {"action": {"actionMethodName": payload}}}}


SURE = card(paragraph("Sure?"), {"buttons": [button("Yes", "/affirm"), button("No", "/deny")]})
CAT = card({"image": {"imageUrl": "https://x.org/c.png"}})
ASK = {"kind": "buttons", "text": "Sure?", "content": [YES, NO]}
IMAGE = {"kind": "image", "content": "https://x.org/c.png"}
OWN = card(paragraph("own"))
NEW = {"cardId": "1", "card": {"sections": []}}


def answered(
    says: str, replies: list[dict[str, Any]], answer: dict[str, Any], differs: str = ""
) -> Incoming:
    return Incoming(says, post(said()), [{"id": NAME}], 200, answer, replies, differs=differs)


ANSWERS = [
    answered("a text is the response", [{"text": "hi"}], {"text": "hi"}),
    answered("paragraphs are not split", [{"text": "one\n\ntwo"}], {"text": "one\n\ntwo"}),
    answered("texts are joined", [{"text": "hi"}, {"text": "you"}], {"text": "hi you"}),
    answered(
        "blank texts are left out",
        [{"text": " "}, {"text": "hi"}],
        {"text": "hi"},
        differs="Rasa also joins blank texts",
    ),
    answered("a turn without replies", [], {}),
    answered("buttons are sent as a card", [ASK], {"cards": [SURE]}),
    answered(
        "quick replies are sent in the same way",
        [{**ASK, "kind": "quick_replies"}],
        {"cards": [SURE]},
    ),
    answered("an image is sent as a card", [IMAGE], {"cards": [CAT]}),
    answered("cards are merged", [ASK, IMAGE], {"cards": [SURE, CAT]}),
    answered(
        "a text before a card becomes a card",
        [{"text": "hi"}, IMAGE],
        {"cards": [card(paragraph("hi")), CAT]},
    ),
    answered(
        "a text after a card becomes a card",
        [IMAGE, {"text": "hi"}, {"text": "you"}],
        {"cards": [CAT, card(paragraph("hi")), card(paragraph("you"))]},
    ),
    answered(
        "an attachment is a text",
        [{"kind": "attachment", "content": "https://x.org/a.pdf"}],
        {"text": "https://x.org/a.pdf"},
    ),
    answered(
        "a button with a URL is a link",
        [{**ASK, "content": [{"title": "Site", "url": "https://x.org/"}]}],
        {
            "cards": [
                card(
                    paragraph("Sure?"),
                    {
                        "buttons": [
                            {
                                "textButton": {
                                    "text": "Site",
                                    "onClick": {"openLink": {"url": "https://x.org/"}},
                                }
                            }
                        ]
                    },
                )
            ]
        },
        differs="Rasa fails with an exception",
    ),
    answered(
        "buttons without a text",
        [{**ASK, "text": "", "content": [YES]}],
        {"cards": [card({"buttons": [button("Yes", "/affirm")]})]},
        differs="Rasa sends an empty paragraph",
    ),
    answered(
        "a reply without buttons is a text",
        [{**ASK, "content": []}],
        {"text": "Sure?"},
        differs="Rasa sends a card without buttons",
    ),
    answered(
        "elements are sent as cards",
        [
            {
                "kind": "elements",
                "content": [
                    {"title": "Paris", "subtitle": "France", "buttons": [YES]},
                    {"title": "Rome", "subtitle": "Italy", "buttons": [NO]},
                ],
            }
        ],
        {
            "cards": [
                card(paragraph("Paris : France"), {"buttons": [button("Yes", "/affirm")]}),
                card(paragraph("Rome : Italy"), {"buttons": [button("No", "/deny")]}),
            ]
        },
        differs="Rasa fails with an exception",
    ),
    answered(
        "custom JSON is the message",
        [{"kind": "custom", "content": {"cards": [OWN], "thread": THREAD}}],
        {"cards": [OWN], "thread": THREAD},
    ),
    answered(
        "cards of custom JSON are merged with others",
        [ASK, {"kind": "custom", "content": {"cards": [OWN]}}],
        {"cards": [SURE, OWN]},
    ),
    answered(
        "the text of custom JSON is joined with others",
        [{"text": "hi"}, {"kind": "custom", "content": {"text": "*you*"}}],
        {"text": "hi *you*"},
    ),
    answered(
        "custom JSON with text and cards is merged with others",
        [{"text": "hi"}, {"kind": "custom", "content": {"text": "own", "cards": [CAT]}}],
        {"cards": [card(paragraph("hi")), OWN, CAT]},
        differs="Rasa drops the cards",
    ),
    answered(
        "cards of version 2",
        [{"text": "hi"}, {"kind": "custom", "content": {"cardsV2": [NEW]}}, {"text": "you"}],
        {"text": "hi you", "cardsV2": [NEW]},
        differs="Rasa supports only cards of version 1",
    ),
    *[
        answered(
            f"{kind} {content!r} is left out",
            [{"text": "hi"}, {"kind": kind, "text": "x", "content": content}, {"text": "you"}],
            {"text": "hi you"},
            differs="Rasa breaks, and leaves out the rest",
        )
        for kind, content in [
            ("custom", {"unknown": 1}),
            ("custom", []),
            ("buttons", "no list"),
            ("elements", [1]),
        ]
    ],
]

PRESSED = event(
    "CARD_CLICKED",
    message={"name": NAME, "sender": {"name": "users/bot", "displayName": "Bot", "type": "BOT"}},
    action={"actionMethodName": "/affirm", "parameters": []},
)

INCOMING = [
    Incoming(
        "a message in a room",
        post(said()),
        [
            {
                "id": NAME,
                "sender_id": "Ada Lovelace",
                "text": "@Bot hello",
                "input_channel": "hangouts",
                "output_channel": "hangouts",
                "metadata": {
                    **ABOUT,
                    "message": NAME,
                    "thread": THREAD["name"],
                    "argument_text": " hello",
                },
            }
        ],
        answer={},
    ),
    Incoming(
        "a direct message",
        post(said("hello", space=DM)),
        [
            {
                "text": "hello",
                "metadata": {
                    **ABOUT,
                    "room": None,
                    "space": "spaces/BBBBBBBBBBB",
                    "space_type": "DM",
                    "message": NAME,
                    "thread": THREAD["name"],
                    "argument_text": "hello",
                },
            }
        ],
    ),
    Incoming(
        "a conversation may be identified by the user's unique name",
        post(said()),
        [{"sender_id": "users/12345678901234567890"}],
        settings={"sender_id": "name"},
        differs="Rasa does not have the key 'sender_id'",
    ),
    Incoming(
        "a button sends its payload",
        post(PRESSED),
        [
            {
                "id": f"CARD_CLICKED:{NAME}:{ADA['name']}:2026-03-02T19:02:59.910959Z",
                "sender_id": "Ada Lovelace",
                "text": "/affirm",
            }
        ],
    ),
    Incoming(
        "added to a room",
        post(event("ADDED_TO_SPACE")),
        [{"text": "/room_added", "sender_id": "Ada Lovelace", "metadata": ABOUT}],
    ),
    Incoming(
        "added by a user",
        post(event("ADDED_TO_SPACE", space=DM)),
        [{"text": "/user_added"}],
        differs="Rasa sends /bot_removed, a typing error",
    ),
    Incoming("removed", post(event("REMOVED_FROM_SPACE")), [{"text": "/bot_removed"}], answer={}),
    Incoming(
        "other events are ignored",
        post(event("APP_HOME")),
        answer={},
        differs="Rasa runs a turn with an empty text",
    ),
    Incoming(
        "a file without a text is ignored",
        post(said(None)),
        answer={},
        differs="Rasa answers with a 500",
    ),
    Incoming(
        "an event without a user is refused", post(event("ADDED_TO_SPACE", user=None)), status=400
    ),
    *[
        Incoming(f"{what} is refused", request, status=403)
        for what, request in [
            ("a token for another project", bearing(token(aud="9876543210"))),
            ("a token without an audience", bearing(token(aud=None))),
            ("a token from another issuer", bearing(token(iss="accounts.google.com"))),
            ("a token without an issuer", bearing(token(iss=None))),
            ("an expired token", bearing(token(iat=1_500_000_000, exp=1_500_003_600))),
            ("a token without an expiry", bearing(token(exp=None))),
            ("a token issued in the future", bearing(token(iat=int(time.time()) + 86_400))),
            ("a forged token", bearing(token(signer="forger"))),
            ("a token of an unknown key", bearing(token(signer="forger", kid="forger"))),
            (
                "a token that is not signed",
                bearing(
                    jwt.encode(
                        {"iss": ISSUER, "aud": PROJECT, "iat": 1, "exp": 10**10},
                        "",
                        algorithm="none",
                        headers={"kid": "google"},
                    )
                ),
            ),
            ("half a token", bearing(genuine_token()[:-100])),
            (
                "a token without the word Bearer",
                Post(
                    as_bytes(said()),
                    {"Content-Type": "application/json", "Authorization": f"Basic {token()}"},
                ),
            ),
        ]
    ],
    *[
        Incoming(
            f"with 'webhook_url' {what} is accepted",
            bearing(id_token(**claims)),
            [{"text": "@Bot hello"}],
            settings={"webhook_url": URL},
            differs="Rasa supports only tokens for the project's number",
        )
        for what, claims in [
            ("an ID token for it", {}),
            ("an ID token of the project's account", {"email": of_project(PROJECT)}),
        ]
    ],
    *[
        Incoming(
            f"with 'webhook_url' {what} is refused",
            bearing(bearer),
            status=403,
            settings={"webhook_url": URL},
        )
        for what, bearer in [
            ("a forged ID token", id_token("forger")),
            ("an ID token for another URL", id_token(aud=f"{URL}/")),
            ("an ID token for the project's number", id_token(aud=PROJECT)),
            ("an ID token of another account", id_token(email="ada@example.com")),
            ("an ID token of another project's account", id_token(email=of_project("9876543210"))),
            ("an ID token without an account", id_token(email=None)),
            ("an ID token with an unverified address", id_token(email_verified=False)),
            (
                "an ID token from another issuer",
                id_token(iss="https://accounts.google.com.example"),
            ),
            ("a token that Chat itself signed for the URL", id_token(iss=ISSUER)),
        ]
    ],
    Incoming(
        "with 'webhook_url', a token for the project's number is refused",
        bearing(genuine_token()),
        status=403,
        settings={"webhook_url": URL},
        differs="Rasa supports only tokens for the project's number",
    ),
    Incoming(
        "without 'webhook_url', an ID token for the URL is refused",
        bearing(id_token()),
        status=403,
    ),
    Incoming(
        "without a project, no token is required",
        Post(as_bytes(said()), {"Content-Type": "application/json"}),
        [{"text": "@Bot hello"}],
        settings={"project_id": None},
    ),
    *ANSWERS,
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]

TABLE = Table(
    channel="hangouts",
    credentials=lambda url: {"project_id": PROJECT, "certs_url": f"{url.rstrip('/')}{CERTS}"},
    accepts=None,
    incoming=INCOMING,
    outgoing=[],
    failures=[],
    genuine=[
        Genuine(said(), post),
        Genuine(PRESSED, post),
        Genuine(event("ADDED_TO_SPACE", space=DM), post),
    ],
    signed_by=["Authorization"],
    secrets=[genuine_token()],
    synchronous=True,
    asked=asked,
)
