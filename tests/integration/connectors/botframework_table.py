"""`botframework`: activities and tokens of learn.microsoft.com/azure/bot-service/rest-api."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bridge.connectors.toolkit.replies import split_text
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError
from tests.integration.connectors.tables import (
    Failure,
    Genuine,
    Incoming,
    Outgoing,
    Post,
    Sent,
    Table,
    as_bytes,
    canonical,
    cases,
)

APP, PASSWORD = "3851a47b-53ed-4d29-b878-6e941da61e98", "the bot's own password"
GRANTED = "the-bots-own-token"
ISSUER = "https://api.botframework.com"
SERVICE = "https://smba.trafficmanager.net/emea/"
FOREIGN = [
    "http://smba.trafficmanager.net/emea/",
    "https://x.example/",
    "https://smba.trafficmanager.net.x.example/",
    "https://x.example/smba.trafficmanager.net/",
    "https://x.example#.botframework.com/",
    "https://x.example?.botframework.com/",
    "https://x.example\\.botframework.com/",
    "https://smba.trafficmanager.net@x.example/",
    "https://x.example\\@smba.trafficmanager.net/",
    "https://u:p@smba.trafficmanager.net/",
    "https://xsmba.trafficmanager.net/",
    "https://other.trafficmanager.net/",
    "https://xbotframework.com/",
    "https://botframework.com.x.example/",
    "https://webchat.botframework.com.",
    "https://webchat.botframework.com:8443/",
    "https://webchat.botframework.com/?a=b",
    "https://webchat.botframework.com/\n",
    " https://webchat.botframework.com/",
    "//webchat.botframework.com/",
    "https:webchat.botframework.com/",
    "https://webchat.botframework.com/a/../b?",
    "https://webchat\u3002botframework.com/",
    "https://[::1]/",
    "https://127.0.0.1/",
    "ftp://webchat.botframework.com/",
    "x",
]
SIGNING, OTHER, TEAMS = (rsa.generate_private_key(65537, 2048) for _ in range(3))


def public(kid: str, key: rsa.RSAPrivateKey, *endorsements: str) -> dict[str, Any]:
    jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    said = {"endorsements": list(endorsements)} if endorsements else {}
    return {**jwk, "use": "sig", "kid": kid, "x5t": kid, **said}


KEYS = {"keys": [public("k1", SIGNING), public("k2", TEAMS, "msteams", "skype")]}


def token(key: Any = SIGNING, kid: str = "k1", alg: str = "RS256", **claims: Any) -> str:
    """Sign a token that is valid for an hour; None removes a claim."""
    now = int(time.time())
    all_claims = {
        "serviceurl": SERVICE,
        "nbf": now,
        "exp": now + 3600,
        "iss": ISSUER,
        "aud": APP,
        **claims,
    }
    said = {name: value for name, value in all_claims.items() if value is not None}
    return canonical(lambda n: jwt.encode({**said, "jti": str(n)}, key, alg, {"kid": kid}))


TOKEN = token()


def post(value: Any, token: str = TOKEN) -> Post:
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Authorization": f"Bearer {token}",
    }
    return Post(as_bytes(value), headers)


BOT = {"id": "28:3851a47b-53ed-4d29-b878-6e941da61e98", "name": "OurBot"}
CONVERSATION = "a:1pL6i0oY3C0K8oAj8/x"
FILE = {
    "contentType": "application/vnd.microsoft.teams.file.download.info",
    "contentUrl": "https://x.org/cv.pdf",
    "name": "cv.pdf",
    "content": {"uniqueId": "1"},
}


def message(**changes: Any) -> dict[str, Any]:
    """Return an activity with changes; None removes a key."""
    value = {
        "text": "hello",
        "textFormat": "plain",
        "type": "message",
        "timestamp": "2026-10-19T20:17:52.2891902Z",
        "id": "1485983408511",
        "channelId": "msteams",
        "serviceUrl": SERVICE,
        "from": {"id": "29:1XJK", "name": "Ada", "aadObjectId": "7faf8511"},
        "conversation": {"conversationType": "personal", "tenantId": "t", "id": CONVERSATION},
        "recipient": BOT,
        "entities": [{"locale": "en-US", "country": "US", "type": "clientInfo"}],
        "channelData": {"tenant": {"id": "t"}},
        "locale": "en-US",
        **{("from" if key == "user" else key): value for key, value in changes.items()},
    }
    return {key: inner for key, inner in value.items() if inner is not None}


ROUTE = {"service_url": SERVICE, "conversation": CONVERSATION, "bot": BOT}
ABOUT = {
    "channel_id": "msteams",
    "locale": "en-US",
    "user_name": "Ada",
    "aad_object_id": "7faf8511",
}
TAKEN = {"statusCode": 200, "type": "application/vnd.microsoft.activity.message", "value": "OK"}


def executed(**action: Any) -> dict[str, Any]:
    """Return the invoke of a card's action."""
    value = {"action": {"type": "Action.Execute", **action}, "trigger": "manual"}
    return message(type="invoke", text=None, name="adaptiveCard/action", value=value)


MENTION = {"type": "mention", "text": "<at>OurBot</at>", "mentioned": BOT}
ACKNOWLEDGES = "Rasa logs it and acknowledges: the message is lost"

INCOMING = [
    Incoming(
        "a text is one message",
        post(message()),
        [
            {
                "id": f"{CONVERSATION}:1485983408511",
                "sender_id": "29:1XJK",
                "text": "hello",
                "input_channel": "botframework",
                "output_channel": "botframework",
                "metadata": ABOUT,
                "route": {**ROUTE, "channel_id": "msteams"},
            }
        ],
        answer="success",
    ),
    Incoming(
        "attachments are in the metadata, as in Rasa",
        post(message(attachments=[FILE])),
        [{"text": "hello", "metadata": {**ABOUT, "attachments": [FILE]}}],
    ),
    Incoming(
        "a file without a text says its URL",
        post(message(text=None, attachments=[FILE])),
        [{"text": "https://x.org/cv.pdf", "metadata": {**ABOUT, "attachments": [FILE]}}],
        differs="Rasa runs a turn without a text",
    ),
    Incoming(
        "a submitted card says its JSON",
        post(message(text=None, value={"size": "L"})),
        [{"text": '{"size": "L"}', "metadata": {**ABOUT, "value": {"size": "L"}}}],
        differs="Rasa runs a turn without a text",
    ),
    Incoming(
        "… or its payload",
        post(message(text=None, value={"payload": "/affirm", "size": "L"})),
        [{"text": "/affirm", "metadata": {**ABOUT, "value": {"payload": "/affirm", "size": "L"}}}],
        differs="Rasa runs a turn without a text",
    ),
    *[
        Incoming(
            f"the action of a card says {said}",
            post(executed(**action)),
            [{"id": f"{CONVERSATION}:1485983408511", "sender_id": "29:1XJK", "text": said}],
            answer=TAKEN,
            differs=ACKNOWLEDGES,
        )
        for said, action in cases(
            ("/affirm", {"verb": "yes", "data": {"payload": "/affirm"}}),
            ("/yes", {"verb": "yes", "data": "/yes"}),
            ('/order{"size": "L"}', {"verb": "order", "data": {"size": "L"}}),
            ("/cancel", {"verb": "cancel"}),
            ('{"size": "L"}', {"data": {"size": "L"}}),
        )
    ],
    *[
        Incoming(
            f"an invoke '{name}' is not supported",
            post(message(type="invoke", text=None, name=name, value=value)),
            status=501,
            differs=ACKNOWLEDGES,
        )
        for name, value in cases(
            ("task/fetch", {"data": {}}),
            ("composeExtension/query", {}),
            ("adaptiveCard/action", None),
            (None, {}),
        )
    ],
    Incoming(
        "Teams encodes a text as HTML",
        post(message(text="AT&amp;T plans&nbsp;&lt; 20 &#8364;")),
        [{"text": "AT&T plans < 20 €"}],
        differs="Rasa does not decode it",
    ),
    Incoming(
        "other channels do not",
        post(message(text="AT&amp;T", channelId="webchat")),
        [{"text": "AT&amp;T"}],
    ),
    Incoming(
        "a mention of the bot and a space of Teams",
        post(message(text="<at>OurBot</at>&nbsp;hello", entities=[MENTION])),
        [{"text": "hello"}],
        differs="Rasa keeps the mention of the bot, which every Teams message contains",
    ),
    Incoming(
        "a mention alone, with Teams' HTML copy of it, is ignored",
        post(
            message(
                text="<at>OurBot</at>",
                entities=[MENTION, {"type": "mention", "mentioned": 1}],
                attachments=[{"contentType": "text/html", "content": "<div>OurBot</div>"}],
            )
        ),
        answer="success",
        differs="Rasa runs a turn with the mention",
    ),
    Incoming(
        "a value that is a string is the text",
        post(message(text=None, value="/affirm")),
        [{"text": "/affirm"}],
        differs="Rasa treats it as an empty text",
    ),
    Incoming(
        "the bot's name is removed, other names stay",
        post(
            message(
                text="<at>OurBot</at> ask <at>Eve</at>",
                entities=[
                    MENTION,
                    {"type": "mention", "text": "<at>Eve</at>", "mentioned": {"id": "29:2"}},
                ],
            )
        ),
        [{"text": "ask <at>Eve</at>"}],
        differs="Rasa keeps the mention of the bot, which every Teams message contains",
    ),
    *[
        Incoming(f"{kind} is ignored", post(message(type=kind, text=None)), answer="success")
        for kind in (
            "conversationUpdate",
            "typing",
            "messageReaction",
            "messageUpdate",
            "endOfConversation",
            "installationUpdate",
        )
    ],
    Incoming(
        "an empty message is ignored",
        post(message(text=None)),
        answer="success",
        differs="Rasa runs a turn without a text",
    ),
    Incoming("a key for this channel", post(message(), token(TEAMS, "k2")), [{"text": "hello"}]),
    *[
        Incoming(what, request, status=403, differs=differs)
        for what, request, differs in [
            ("a token of another key", post(message(), token(OTHER)), ""),
            ("a token of an unknown key", post(message(), token(OTHER, "k9")), ""),
            ("a token of another bot", post(message(), token(aud="another")), ""),
            ("a token that has expired", post(message(), token(exp=int(time.time()) - 301)), ""),
            ("a token without signature", post(message(), jwt.encode({}, "", "none")), ""),
            (
                "a token signed by another algorithm",
                post(message(), token("k" * 64, alg="HS256")),
                "",
            ),
            ("no token", Post(as_bytes(message()), {"Content-Type": "application/json"}), ""),
            (
                "a token of another issuer",
                post(message(), token(iss="https://x.example")),
                "Rasa does not look at it",
            ),
            (
                "a token for another service URL",
                post(message(), token(serviceurl="https://x.example/")),
                "Rasa does not compare, and would send the bot's token to any URL",
            ),
            *[
                (
                    f"a service URL that is not Microsoft's: {url}",
                    post(message(serviceUrl=url), token(serviceurl=url)),
                    "Rasa would send the bot's token to any URL",
                )
                for url in FOREIGN
            ],
            (
                "a token without a service URL",
                post(message(), token(serviceurl=None)),
                "Rasa does not look at it",
            ),
            (
                "neither token nor activity has a service URL",
                post(message(serviceUrl=None), token(serviceurl=None)),
                ACKNOWLEDGES,
            ),
            (
                "a token without an end",
                post(message(), token(exp=None)),
                "Rasa accepts it forever",
            ),
            (
                "a key for other channels",
                post(message(channelId="webchat"), token(TEAMS, "k2")),
                "Rasa does not look at a key's endorsements",
            ),
        ]
    ],
    *[
        Incoming(
            f"a missing {key} is refused",
            post(message(**{key: None})),
            status=400,
            differs=ACKNOWLEDGES,
        )
        for key in ("user", "recipient", "conversation", "type")
    ],
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]

ASKING = Sent(
    "/botframework.com/oauth2/v2.0/token",
    {
        "client_id": APP,
        "client_secret": PASSWORD,
        "grant_type": "client_credentials",
        "scope": "https://api.botframework.com/.default",
    },
)


def sent(**fields: Any) -> Sent:
    return Sent(
        f"/v3/conversations/{CONVERSATION}/activities",
        {
            "type": "message",
            "recipient": {"id": "29:1XJK"},
            "from": BOT,
            "channelData": {"notification": {"alert": "true"}},
            "text": "",
            **fields,
        },
        {"Authorization": f"Bearer {GRANTED}"},
    )


def hero(**content: Any) -> Sent:
    card = {"contentType": "application/vnd.microsoft.card.hero", "content": content}
    return sent(attachments=[card])


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": "29:1XJK", "route": ROUTE, **fields}


def case(says: str, fields: dict[str, Any], *calls: Sent, **kwargs: Any) -> Outgoing:
    return Outgoing(says, reply(**fields), [ASKING, *calls], **kwargs)


YES = {"title": "Yes", "payload": "/affirm"}
HERO = "application/vnd.microsoft.card.hero"
LARGE = {"title": "Yes", "payload": "/" + "a" * 28_000}
ACTION = {"type": "imBack", "title": "Yes", "value": "yes"}
POST_BACK = {"type": "postBack", "title": "Yes", "value": "/affirm"}
NO_VALUE = "Bot Framework does not show buttons without a value"

OUTGOING = [
    case("a text is one call", {"text": "hi"}, sent(text="hi")),
    case("each paragraph is a call", {"text": "one\n\ntwo\n"}, sent(text="one"), sent(text="two")),
    case(
        "blank paragraphs are left out",
        {"text": "one\n\n\n\ntwo"},
        sent(text="one"),
        sent(text="two"),
        differs="an empty text cannot be shown",
    ),
    case(
        "a long text is split",
        {"text": f"{'a' * 3900} {'b' * 200}"},
        sent(text="a" * 3900),
        sent(text="b" * 200),
        differs="Teams accepts 28 KB",
    ),
    case(
        "card actions are put on a card",
        {"kind": "buttons", "text": "Sure?", "content": [ACTION]},
        hero(subtitle="Sure?", buttons=[ACTION]),
    ),
    case(
        "Rasa buttons send their payload",
        {"kind": "buttons", "text": "Sure?", "content": [YES, {"title": "Go", "url": "https://x"}]},
        hero(
            subtitle="Sure?",
            buttons=[POST_BACK, {"type": "openUrl", "title": "Go", "value": "https://x"}],
        ),
        differs=NO_VALUE,
    ),
    case(
        "Teams does not know postBack",
        {
            "kind": "buttons",
            "text": "Sure?",
            "content": [YES],
            "route": {**ROUTE, "channel_id": "msteams"},
        },
        hero(
            subtitle="Sure?",
            buttons=[
                {"type": "messageBack", "title": "Yes", "displayText": "Yes", "text": "/affirm"}
            ],
        ),
        differs=NO_VALUE,
    ),
    case(
        "more than six buttons are several cards",
        {"kind": "buttons", "text": "Which?", "content": [YES] * 7},
        sent(
            attachments=[
                {
                    "contentType": HERO,
                    "content": {"subtitle": "Which?", "buttons": [POST_BACK] * 6},
                },
                {"contentType": HERO, "content": {"buttons": [POST_BACK]}},
            ]
        ),
        differs=NO_VALUE,
    ),
    case(
        "buttons that are too large are lines of text",
        {"kind": "buttons", "text": "Sure?", "content": [LARGE]},
        sent(text="Sure?"),
        *[sent(text=piece) for piece in split_text(f"1: Yes ({LARGE['payload']})", 4000)],
        differs="Teams accepts 28 KB",
    ),
    case(
        "a reply without buttons is a text",
        {"kind": "buttons", "text": "Sure?", "content": []},
        sent(text="Sure?"),
        differs="Rasa sends a card without buttons",
    ),
    case(
        "quick replies are buttons",
        {"kind": "quick_replies", "text": "Sure?", "content": [ACTION]},
        hero(subtitle="Sure?", buttons=[ACTION]),
    ),
    case(
        "an image is put on a card",
        {"kind": "image", "content": "https://x.org/c.png"},
        hero(images=[{"url": "https://x.org/c.png"}]),
    ),
    case(
        "an attachment is a text",
        {"kind": "attachment", "content": "https://x.org/a.pdf"},
        sent(text="Attachment: https://x.org/a.pdf"),
    ),
    case(
        "elements that are parts of activities are sent unchanged",
        {"kind": "elements", "content": [{"text": "a"}, {"attachments": [{"content": {}}]}]},
        sent(text="a"),
        sent(attachments=[{"content": {}}]),
    ),
    case(
        "generic elements are cards",
        {
            "kind": "elements",
            "content": [
                {"title": "T", "subtitle": "S", "image_url": "https://x/i.png", "buttons": [YES]},
                {"title": "U"},
            ],
        },
        hero(title="T", subtitle="S", images=[{"url": "https://x/i.png"}], buttons=[POST_BACK]),
        hero(title="U"),
        differs="Bot Framework does not show unknown keys",
    ),
    case(
        "custom JSON is an activity, completed",
        {"kind": "custom", "content": {"attachments": [1], "channelData": {"x": 1}}},
        sent(attachments=[1], channelData={"x": 1, "notification": {"alert": "true"}}),
    ),
    case(
        "custom JSON may be any kind of activity",
        {"kind": "custom", "content": {"type": "typing"}},
        sent(type="typing"),
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
        )
        for kind, content in [("elements", [1]), ("custom", [])]
    ],
    Outgoing(
        "buttons that are not objects are rejected",
        reply(kind="buttons", text="x", content="no list"),
        error=RejectedDeliveryError,
        differs="Rasa sends them",
    ),
    Outgoing(
        "a reply without a conversation is rejected",
        {"text": "hi"},
        error=RejectedDeliveryError,
    ),
]


def refusal(code: str, text: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": text or code}}


FAILURES = [
    Failure(
        "429 with Retry-After",
        RetryableDeliveryError,
        429,
        refusal("RateLimitExceeded"),
        {"Retry-After": "9"},
        9.0,
    ),
    Failure(
        "412, by which Teams requests a retry",
        RetryableDeliveryError,
        412,
        refusal("PreconditionFailed"),
    ),
    Failure("500", RetryableDeliveryError, 500, refusal("ServiceError")),
    Failure("a proxy's 502", RetryableDeliveryError, 502, "<html>"),
    Failure("504", RetryableDeliveryError, 504, ""),
    Failure(
        "a removed bot",
        RejectedDeliveryError,
        403,
        refusal("BotNotInConversationRoster", "not in roster of ada@x.org"),
        unquoted="ada@x.org",
    ),
    Failure("a deleted conversation", RejectedDeliveryError, 404, refusal("NotFound")),
    Failure("an invalid card", RejectedDeliveryError, 400, refusal("BadSyntax")),
    Failure("too long an activity", RejectedDeliveryError, 413, refusal("TooLarge")),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
]

ASKED = {"/openid": {"issuer": ISSUER, "jwks_uri": "keys"}, "/keys": KEYS}

TABLE = Table(
    channel="botframework",
    credentials=lambda url: {
        "app_id": APP,
        "app_password": PASSWORD,
        "login_url": url,
        "openid_url": f"{url}openid",
        "api_url": url,
    },
    accepts={"token_type": "Bearer", "expires_in": 3600, "access_token": GRANTED, "id": "1"},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(message(), post),
        Genuine(message(entities=[MENTION], attachments=[FILE], value={"a": 1}), post),
    ],
    signed_by=["Authorization"],
    secrets=[PASSWORD, GRANTED, TOKEN],
    asked=lambda call: web.json_response(ASKED[call.path]),
)
