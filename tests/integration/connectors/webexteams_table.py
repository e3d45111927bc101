"""`webexteams`: shapes of developer.webex.com (webhooks, messages, attachment actions, people)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from aiohttp import web

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
)
from tests.support.service import Call

TOKEN = "OTBmYzQ0-fake"
SECRET = "86dacc007724d8ea666f88fc77d918dad9537a15"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
BOT = "Y2lzY29zcGFyazovL3VzL1BFT1BMRS9ib3Q"
ADA = "Y2lzY29zcGFyazovL3VzL1BFT1BMRS9hZGE"
ROOM = "Y2lzY29zcGFyazovL3VzL1JPT00vYmJjZWIx"


def message(id: str, **changes: Any) -> dict[str, Any]:
    value = {
        "id": id,
        "roomId": ROOM,
        "roomType": "direct",
        "text": "hello",
        "personId": ADA,
        "personEmail": "ada@example.com",
        "created": "2026-12-14T20:56:05.117Z",
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def submit(id: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "submit",
        "id": id,
        "messageId": "Y2FyZA",
        "inputs": inputs,
        "personId": ADA,
        "roomId": ROOM,
        "created": "2026-12-14T20:56:05.117Z",
    }


MENTION = f'<spark-mention data-object-type="person" data-object-id="{BOT}">Our Bot</spark-mention>'
STORED = {
    "/v1/people/me": {"id": BOT, "emails": ["bot@webex.bot"], "displayName": "Bot", "type": "bot"},
    "/v1/messages/aGVsbG8": message("aGVsbG8"),
    "/v1/messages/Z3JvdXA": message("Z3JvdXA", text="Bot hello", roomType="group"),
    "/v1/messages/bmFtZQ": message(
        "bmFtZQ",
        text="Our Bot what is the weather, Our Bot?",
        html=f"<p>{MENTION} what is the weather, Our Bot?</p>",
        mentionedPeople=[BOT],
        roomType="group",
    ),
    "/v1/messages/b3RoZXI": message(
        "b3RoZXI",
        text="Eve and Our Bot",
        html=f'<p><spark-mention data-object-type="person" data-object-id="{ADA}">Eve'
        f"</spark-mention> and {MENTION}</p>",
        roomType="group",
    ),
    "/v1/messages/cGxhaW4": message(
        "cGxhaW4", text="Bot hello", mentionedPeople=[BOT], roomType="group"
    ),
    "/v1/messages/YmFyZQ": message("YmFyZQ", text="Our Bot", html=MENTION, roomType="group"),
    "/v1/messages/ZW1wdHk": message("ZW1wdHk", text=None),
    "/v1/messages/dGhyZWFk": message("dGhyZWFk", parentId="cGFyZW50"),
    "/v1/messages/ZmlsZQ": message("ZmlsZQ", text=None, files=["https://webexapis.com/v1/c/1"]),
    "/v1/messages/Y2FwdGlvbg": message("Y2FwdGlvbg", files=["https://webexapis.com/v1/c/1"]),
    "/v1/messages/b3du": message("b3du", personId=BOT, personEmail="bot@webex.bot"),
    "/v1/attachment/actions/cHJlc3M": submit("cHJlc3M", {"payload": "/affirm", "size": "L"}),
    "/v1/attachment/actions/Zm9ybQ": submit("Zm9ybQ", {"size": "L"}),
}


def asked(call: Call) -> web.Response:
    if call.headers.get("Authorization") != AUTHORIZED["Authorization"]:
        return web.json_response({"message": "no"}, status=401)
    found = STORED.get(call.path)
    return web.json_response(found or {"message": "not found"}, status=200 if found else 404)


def event(id: str, resource: str = "messages", what: str = "created", **data: Any) -> Any:
    return {
        "id": "Y2lzY29zcGFyazovL3VzL1dFQkhPT0svZjRlNjA1",
        "name": "New message",
        "targetUrl": "https://bot.example/webhooks/webexteams/webhook",
        "resource": resource,
        "event": what,
        "orgId": "OTZhYmMyYWEtM2RjYy0xMWU1",
        "createdBy": BOT,
        "appId": "Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9O",
        "ownedBy": "creator",
        "status": "active",
        "created": "2026-01-14T20:56:05.117Z",
        "actorId": ADA,
        "data": {
            "id": id,
            "roomId": ROOM,
            "personId": ADA,
            "personEmail": "ada@example.com",
            "created": "2026-12-14T20:56:05.117Z",
            **data,
        },
    }


def post(value: Any) -> Post:
    """Sign as specified in https://developer.webex.com/docs/receive-and-verify-webhooks."""
    body = as_bytes(value)
    signature = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    return Post(body, {"Content-Type": "application/json", "X-Spark-Signature": signature})


ABOUT = {
    "person_id": ADA,
    "person_email": "ada@example.com",
    "room_type": "direct",
    "message_id": "aGVsbG8",
}
BREAKS = "Rasa answers with a 500, and Webex retries, then stops sending"
UNSIGNED = Post(as_bytes(event("aGVsbG8")), {"Content-Type": "application/json"})

INCOMING = [
    Incoming(
        "a webhook's message is fetched",
        post(event("aGVsbG8")),
        [
            {
                "id": "aGVsbG8",
                "sender_id": ROOM,
                "text": "hello",
                "input_channel": "webexteams",
                "output_channel": "webexteams",
                "metadata": ABOUT,
                "route": {},
            }
        ],
        answer="success",
    ),
    Incoming(
        "a name that is not a mention stays",
        post(event("Z3JvdXA")),
        [{"text": "Bot hello"}],
    ),
    *[
        Incoming(
            f"a mention of the bot is removed: {said!r}",
            post(event(id)),
            [{"text": said}],
            differs="Rasa keeps the bot's name",
        )
        for id, said in [
            ("bmFtZQ", "what is the weather, Our Bot?"),
            ("b3RoZXI", "Eve and"),
            ("cGxhaW4", "hello"),
        ]
    ],
    Incoming(
        "a mention alone is ignored",
        post(event("YmFyZQ")),
        answer="success",
        differs="Rasa runs a turn with the name",
    ),
    Incoming(
        "a message in a thread is answered in the thread",
        post(event("dGhyZWFk")),
        [{"route": {"parentId": "cGFyZW50"}}],
    ),
    Incoming(
        "a file with a text",
        post(event("Y2FwdGlvbg")),
        [
            {
                "text": "hello",
                "metadata": {
                    **ABOUT,
                    "message_id": "Y2FwdGlvbg",
                    "files": ["https://webexapis.com/v1/c/1"],
                },
            }
        ],
    ),
    Incoming(
        "a file without a text says its URL",
        post(event("ZmlsZQ")),
        [{"text": "https://webexapis.com/v1/c/1"}],
        differs="Rasa runs a turn without a text",
    ),
    Incoming("the bot's own message is ignored", post(event("b3du", personId=BOT))),
    Incoming("… also if the webhook does not name its author", post(event("b3du", personId=None))),
    Incoming(
        "a button of a card sends its payload",
        post(event("cHJlc3M", "attachmentActions")),
        [
            {
                "id": "cHJlc3M",
                "sender_id": ROOM,
                "text": "/affirm",
                "metadata": {
                    "person_id": ADA,
                    "message_id": "Y2FyZA",
                    "inputs": {"payload": "/affirm", "size": "L"},
                },
            }
        ],
        differs=BREAKS,
    ),
    Incoming(
        "a submitted card without a payload says its JSON",
        post(event("Zm9ybQ", "attachmentActions")),
        [{"text": '{"size": "L"}'}],
        differs=BREAKS,
    ),
    *[
        Incoming(f"{what} is ignored", post(value), answer="success", differs=BREAKS)
        for what, value in [
            ("a message deleted in the meantime", event("Z29uZQ")),
            ("the deletion of a message", event("Z29uZQ", "messages", "deleted")),
            ("a membership", event("bWVtYmVy", "memberships")),
        ]
    ],
    Incoming(
        "the update of a message is ignored",
        post(event("aGVsbG8", "messages", "updated")),
        differs="Rasa runs a second turn for it",
    ),
    Incoming(
        "a webhook without a signature is refused",
        UNSIGNED,
        status=403,
        differs="Rasa does not check signatures",
    ),
    Incoming(
        "a webhook without a signature is accepted if there is no secret",
        UNSIGNED,
        [{"text": "hello"}],
        settings={"secret": None},
    ),
    Incoming(
        "a signature in upper case",
        Post(
            UNSIGNED.body,
            {
                **UNSIGNED.headers,
                "X-Spark-Signature": post(UNSIGNED.body).headers["X-Spark-Signature"].upper(),
            },
        ),
        [{"text": "hello"}],
    ),
    *[
        Incoming(f"the id {id!r} is refused", post(event(id)), status=400)
        for id in ("a/b", "a?b=c", "", "é")
    ],
    Incoming(
        "an id that is a path is refused",
        post(event("../people/me")),
        status=400,
        differs="Rasa fetches that path and treats the result as a message",
    ),
    Incoming(
        "with a wrong token, no message is accepted",
        post(event("aGVsbG8")),
        status=503,
        settings={"access_token": "wrong"},
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def sent(**body: Any) -> Sent:
    return Sent("/v1/messages", {"roomId": ROOM, **body}, AUTHORIZED)


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": ROOM, **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
ELSEWHERE: dict[str, Any] = {"room": "b3RoZXI"}
CARD = {
    "contentType": "application/vnd.microsoft.card.adaptive",
    "content": {"type": "AdaptiveCard"},
}

OUTGOING = [
    Outgoing("a text is one message", reply(text="hi"), [sent(text="hi")]),
    Outgoing(
        "each paragraph is a message",
        reply(text="one\n\ntwo\n"),
        [sent(text="one"), sent(text="two")],
    ),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [sent(text="one"), sent(text="two")],
        differs="Webex refuses an empty text",
    ),
    Outgoing(
        "a long text is split by bytes",
        reply(text="é" * 3720),
        [sent(text="é" * 3719), sent(text="é")],
        differs="Webex refuses more than 7439 bytes",
    ),
    Outgoing(
        "a reply in a thread",
        reply(text="hi", route={"parentId": "cGFyZW50"}),
        [sent(text="hi", parentId="cGFyZW50")],
        differs="Rasa does not support threads",
    ),
    Outgoing(
        "a reply is sent to the configured room",
        reply(text="hi", route={"parentId": "cGFyZW50"}),
        [sent(text="hi", roomId="b3RoZXI")],
        settings=ELSEWHERE,
    ),
    Outgoing(
        "an image is sent to the configured room",
        reply(kind="image", content="https://x.org/c.png"),
        [sent(files=["https://x.org/c.png"], roomId="b3RoZXI")],
        settings=ELSEWHERE,
    ),
    Outgoing(
        "buttons are texts",
        reply(kind="buttons", text="Sure?", content=[YES, NO]),
        [sent(text="Sure?"), sent(text="1: Yes (/affirm)"), sent(text="2: No (/deny)")],
    ),
    Outgoing(
        "quick replies are texts",
        reply(kind="quick_replies", text="Sure?", content=[YES]),
        [sent(text="Sure?"), sent(text="1: Yes (/affirm)")],
    ),
    Outgoing(
        "an image is sent as a file",
        reply(kind="image", content="https://x.org/c.png"),
        [sent(files=["https://x.org/c.png"])],
    ),
    Outgoing(
        "an attachment is a text",
        reply(kind="attachment", content="https://x.org/a.pdf"),
        [sent(text="Attachment: https://x.org/a.pdf")],
    ),
    Outgoing(
        "each element is a text with buttons",
        reply(
            kind="elements", content=[{"title": "Paris", "subtitle": "France", "buttons": [YES]}]
        ),
        [sent(text="Paris : France"), sent(text="1: Yes (/affirm)")],
    ),
    Outgoing(
        "custom JSON is a message",
        reply(kind="custom", content={"markdown": "**hi**", "attachments": [CARD]}),
        [sent(markdown="**hi**", attachments=[CARD])],
    ),
    Outgoing(
        "… which is not sent to the configured room",
        reply(kind="custom", content={"markdown": "**hi**"}),
        [sent(markdown="**hi**")],
        settings=ELSEWHERE,
    ),
    Outgoing(
        "… and may name another",
        reply(kind="custom", content={"text": "hi", "roomId": "b3RoZXI"}),
        [sent(text="hi", roomId="b3RoZXI")],
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
            differs=differs,
        )
        for kind, content, differs in [
            ("buttons", "no list", "Rasa sends the text, then fails"),
            ("elements", [1], ""),
            ("custom", [], ""),
        ]
    ],
]

QUOTED = {"message": "what I said", "errors": [{"description": "what I said"}], "trackingId": "T_1"}

FAILURES = [
    Failure("429 with Retry-After", RetryableDeliveryError, 429, QUOTED, {"Retry-After": "30"}, 30),
    Failure("a locked file", RetryableDeliveryError, 423, QUOTED, {"Retry-After": "3"}, 3),
    Failure("500", RetryableDeliveryError, 500, QUOTED),
    Failure("a gateway's 502", RetryableDeliveryError, 502, "<html>"),
    Failure("an invalid message", RejectedDeliveryError, 400, QUOTED, unquoted="what I said"),
    Failure("a room without the bot", RejectedDeliveryError, 403, QUOTED),
    Failure("a deleted room", RejectedDeliveryError, 404, QUOTED),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
    Failure("a wrong token", ServiceUnavailable, 401, QUOTED),
]

TABLE = Table(
    channel="webexteams",
    credentials=lambda url: {"access_token": TOKEN, "secret": SECRET, "api_url": f"{url}v1"},
    accepts={"id": "bWVzc2FnZQ"},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(event("aGVsbG8"), post),
        Genuine(event("cHJlc3M", "attachmentActions"), post),
    ],
    signed_by=["X-Spark-Signature"],
    secrets=[SECRET, TOKEN],
    asked=asked,
)
