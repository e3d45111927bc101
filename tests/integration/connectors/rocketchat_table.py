"""`rocketchat`: shapes of docs.rocket.chat (outgoing integrations, omnichannel webhooks) and
developer.rocket.chat (login, chat.postMessage), completed by the server's source."""

from __future__ import annotations

import hashlib
from typing import Any

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
)

SECRET = "9QsmZkVYmzbwgDzcYqbGNdvZ"
PASSWORD = "s3cret-pw"
SESSION = {
    "authToken": "9HqLlyZOugoStsXCUfD_0YdwnNnunAJF8V47U3QHXSq",
    "userId": "aobEdbYhXfu5hkeqG",
}
JSON = {"Content-Type": "application/json"}
UNCHECKED = "Rasa does not check signatures"


def hook(**changes: Any) -> dict[str, Any]:
    """Return the body of an outgoing integration; None removes a key."""
    value = {
        "token": SECRET,
        "bot": False,
        "trigger_word": "rasa",
        "channel_id": "GENERAL",
        "channel_name": "general",
        "message_id": "jC9chsFddTvsbFQG7",
        "timestamp": "2026-12-14T20:56:05.117Z",
        "user_id": "y65tAmHs93aDChMWu",
        "user_name": "ada",
        "text": "rasa hello",
        "siteUrl": "https://chat.example",
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def said(**changes: Any) -> dict[str, Any]:
    value = {
        "_id": "8hLpwhMBqXKZ8YaQu",
        "username": "guest-3",
        "msg": "hello",
        "ts": "2026-12-14T20:56:05.117Z",
        "rid": "hGFwSKA28nRKut3pD",
        **changes,
    }
    return {key: inner for key, inner in value.items() if inner is not None}


def livechat(*messages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the body of the omnichannel webhook."""
    return {
        "_id": "hGFwSKA28nRKut3pD",
        "label": "Ada",
        "createdAt": "2026-12-14T20:50:00.000Z",
        "lastMessageAt": "2026-12-14T20:56:05.117Z",
        "tags": [],
        "visitor": {
            "_id": "yXvP2zWBS8rZ9Q4mC",
            "token": "visitor-token",
            "name": "Ada",
            "username": "guest-3",
            "email": [{"address": "ada@x.org"}],
            "phone": None,
        },
        "agent": {
            "_id": "kMFHBEb4CEN7SCQqQ",
            "username": "rasa",
            "name": "Rasa",
            "email": "r@x.org",
        },
        "type": "Message",
        "messages": list(messages) or [said()],
        **changes,
    }


def post(value: Any) -> Post:
    return Post(as_bytes(value), JSON)


def with_header(value: Any) -> Post:
    return Post(as_bytes(value), {**JSON, "X-RocketChat-Livechat-Token": SECRET})


ABOUT = {
    "user_id": "y65tAmHs93aDChMWu",
    "user_name": "ada",
    "channel_name": "general",
    "message_id": "jC9chsFddTvsbFQG7",
}
LIVE = {"user_name": "guest-3", "visitor_name": "Ada"}
SAID = hashlib.sha256(b"rasa hello").hexdigest()[:16]
SAID_AGAIN = hashlib.sha256(b"rasa hallo").hexdigest()[:16]

INCOMING = [
    Incoming(
        "an outgoing integration is one message",
        post(hook()),
        [
            {
                "id": f"jC9chsFddTvsbFQG7:{SAID}",
                "sender_id": "GENERAL",
                "text": "rasa hello",
                "input_channel": "rocketchat",
                "output_channel": "rocketchat",
                "metadata": ABOUT,
                "route": {},
            }
        ],
        answer="success",
    ),
    Incoming(
        "an edited message is a new message, once",
        post(hook(text="rasa hallo", isEdited=True)),
        [{"id": f"jC9chsFddTvsbFQG7:{SAID_AGAIN}", "text": "rasa hallo"}],
    ),
    Incoming(
        "an edit that changes nothing is the same message",
        post(hook(isEdited=True)),
        [{"id": f"jC9chsFddTvsbFQG7:{SAID}"}],
    ),
    *[
        Incoming(
            f"{text!r} is {said!r}",
            post(hook(text=text)),
            [{"text": said}] if said else [],
            answer="success",
            differs="Rasa keeps the bot's name",
        )
        for text, said in [("@rasa hello", "hello"), ("hello @Rasa", "hello"), ("@rasa", "")]
    ],
    Incoming(
        "the name of another stays",
        post(hook(text="@rasa-two hello")),
        [{"text": "@rasa-two hello"}],
    ),
    Incoming(
        "a file without a text says its URL",
        post(hook(text="", message={"attachments": [{"title_link": "/file-upload/1/a.png"}]})),
        [{"text": "/file-upload/1/a.png", "metadata": {**ABOUT, "file": "/file-upload/1/a.png"}}],
        differs="Rasa treats it as an empty text",
    ),
    Incoming(
        "a visitor's file says its URL",
        with_header(livechat(said(msg="", fileUpload={"publicFilePath": "https://x.org/a.png"}))),
        [{"text": "https://x.org/a.png"}],
        differs="Rasa treats it as an empty text",
    ),
    Incoming(
        "a message in a thread is answered in the thread",
        post(hook(tmid="ubn1n3fnbkba9kjq7")),
        [{"route": {"tmid": "ubn1n3fnbkba9kjq7"}}],
    ),
    Incoming("the bot's own message is ignored", post(hook(user_name="rasa")), answer="success"),
    Incoming(
        "… in upper or lower case",
        post(hook(user_name="Rasa")),
        differs="Rasa answers itself if 'user' differs in case",
    ),
    Incoming(
        "messages of other integrations are ignored",
        post(hook(bot=True)),
        differs="Rasa answers them, and they may answer Rasa",
    ),
    Incoming(
        "a message without a text is ignored",
        post(hook(text="")),
        differs="Rasa treats it as an empty text",
    ),
    Incoming(
        "a created room is ignored",
        post({"token": SECRET, "bot": False, "channel_id": "GENERAL", "user_name": "ada"}),
        differs="Rasa runs a turn without a text",
    ),
    Incoming(
        "a visitor's message",
        with_header(livechat()),
        [
            {
                "id": "8hLpwhMBqXKZ8YaQu",
                "sender_id": "hGFwSKA28nRKut3pD",
                "text": "hello",
                "metadata": {**LIVE, "message_id": "8hLpwhMBqXKZ8YaQu"},
            }
        ],
        answer="success",
    ),
    Incoming(
        "all messages of a visitor",
        with_header(livechat(said(), said(_id="m2", msg="anybody?"))),
        [{"text": "hello"}, {"id": "m2", "text": "anybody?"}],
        differs="Rasa reads only the first",
    ),
    Incoming(
        "the bot's own message to a visitor is ignored",
        with_header(livechat(said(username="rasa", agentId="kMFHBEb4CEN7SCQqQ"))),
        answer="success",
    ),
    Incoming(
        "an agent's message to a visitor is ignored",
        with_header(livechat(said(username="grace", agentId="xyz"))),
        differs="Rasa treats it as the visitor's",
    ),
    *[
        Incoming(
            f"{what} is ignored",
            with_header(value),
            answer="success",
            differs="Rasa runs a turn for the first message, or fails without one",
        )
        for what, value in [
            ("a closed chat", livechat(type="LivechatSession")),
            ("a forwarded chat", livechat(type="LivechatSessionForwarded")),
            ("a change of a chat's data", livechat(type="LivechatEdit")),
            ("the start of a chat", livechat(type="LivechatSessionStart", messages=[])),
            ("a closing message", livechat(said(msg="bye", closingMessage=True))),
            ("a visitor's current page", livechat(said(navigation={"page": {}}))),
        ]
    ],
    *[
        Incoming(f"{what} is refused", request, status=403, differs=UNCHECKED)
        for what, request in [
            ("another token", post(hook(token="8QsmZkVYmzbwgDzcYqbGNdvZ"))),
            ("no token", post(hook(token=None))),
            ("an empty token", post(hook(token=""))),
            ("a non-ASCII token", post(hook(token="é"))),
            ("half a token", post(hook(token=SECRET[:12]))),
            ("a livechat without a header", post(livechat())),
            (
                "a livechat with another header",
                Post(as_bytes(livechat()), {**JSON, "X-RocketChat-Livechat-Token": "x"}),
            ),
        ]
    ],
    *[
        Incoming(
            f"{what}, with two tokens",
            request,
            [{}],
            settings={"outgoing_webhook_token": ["another", SECRET]},
        )
        for what, request in [("a message", post(hook())), ("a chat", with_header(livechat()))]
    ],
    *[
        Incoming(
            f"{what}, if no token is configured",
            request,
            [{}],
            settings={"outgoing_webhook_token": None},
        )
        for what, request in [("a message", post(hook(token="x"))), ("a chat", post(livechat()))]
    ],
    Incoming(
        "a message without a room is refused",
        post(hook(channel_id=None)),
        status=400,
        differs="Rasa puts it into the conversation None",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming(
        "GET is refused",
        Post(method="GET"),
        status=405,
        differs="Rasa answers with a 200 and does nothing",
    ),
]

LOGIN = Sent("/api/v1/login", {"username": "rasa", "password": PASSWORD})
HEADERS = {"X-Auth-Token": SESSION["authToken"], "X-User-Id": SESSION["userId"]}


def sent(**body: Any) -> Sent:
    return Sent("/api/v1/chat.postMessage", {"roomId": "GENERAL", **body}, HEADERS)


def to_channel(**body: Any) -> Sent:
    return Sent("/api/v1/chat.postMessage", {"channel": "#news", **body}, HEADERS)


def action(title: str, payload: str) -> dict[str, Any]:
    return {"text": title, "type": "button", "msg": payload, "msg_in_chat_window": True}


def buttons(text: str, *actions: dict[str, Any]) -> Sent:
    return sent(text=text, attachments=[{"actions": list(actions)}])


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": "GENERAL", **fields}


def custom(says: str, content: Any, *calls: Sent, **kwargs: Any) -> Outgoing:
    return Outgoing(says, reply(kind="custom", content=content), [LOGIN, *calls], **kwargs)


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
PARIS = {"title": "Paris", "text": "France", "image_url": "https://x.org/p.png"}

OUTGOING = [
    Outgoing("a text is one message", reply(text="hi"), [LOGIN, sent(text="hi")]),
    Outgoing(
        "each paragraph is a message, after one login",
        reply(text="one\n\ntwo\n"),
        [LOGIN, sent(text="one"), sent(text="two")],
    ),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [LOGIN, sent(text="one"), sent(text="two")],
        differs="Rocket.Chat would show an empty message",
    ),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 4990} {'b' * 20}"),
        [LOGIN, sent(text="a" * 4990), sent(text="b" * 20)],
        differs="Rocket.Chat refuses more than 5000 characters",
    ),
    Outgoing(
        "a reply in a thread",
        reply(text="hi", route={"tmid": "m1"}),
        [LOGIN, sent(text="hi", tmid="m1")],
        differs="Rasa does not support threads",
    ),
    Outgoing(
        "buttons",
        reply(kind="buttons", text="Sure?", content=[YES, NO]),
        [LOGIN, buttons("Sure?", action("Yes", "/affirm"), action("No", "/deny"))],
    ),
    Outgoing(
        "a link is a link",
        reply(kind="buttons", text="Go", content=[{"title": "Site", "url": "https://x.org/"}]),
        [LOGIN, buttons("Go", {"text": "Site", "type": "button", "url": "https://x.org/"})],
        differs="Rasa does not support links",
    ),
    Outgoing(
        "quick replies become buttons",
        reply(kind="quick_replies", text="Sure?", content=[YES]),
        [LOGIN, buttons("Sure?", action("Yes", "/affirm"))],
    ),
    Outgoing(
        "an image is an attachment",
        reply(kind="image", content="https://x.org/c.png"),
        [LOGIN, sent(attachments=[{"image_url": "https://x.org/c.png", "collapsed": False}])],
    ),
    Outgoing(
        "an object is an attachment",
        reply(kind="attachment", content={"title": "T", "title_link": "https://x.org/a.pdf"}),
        [LOGIN, sent(attachments=[{"title": "T", "title_link": "https://x.org/a.pdf"}])],
    ),
    Outgoing(
        "an attachment that is a URL is a text",
        reply(kind="attachment", content="https://x.org/a.pdf"),
        [LOGIN, sent(text="Attachment: https://x.org/a.pdf")],
        differs="Rocket.Chat refuses an attachment that is not an object",
    ),
    Outgoing(
        "elements are attachments",
        reply(kind="elements", content=[PARIS, {"title": "Rome"}]),
        [LOGIN, sent(attachments=[PARIS, {"title": "Rome"}])],
    ),
    Outgoing(
        "generic elements are attachments",
        reply(
            kind="elements",
            content=[{"title": "Paris", "subtitle": "France", "buttons": [YES, {"payload": "x"}]}],
        ),
        [
            LOGIN,
            sent(
                attachments=[
                    {"title": "Paris", "text": "France", "actions": [action("Yes", "/affirm")]}
                ]
            ),
        ],
        differs="Rocket.Chat does not support subtitle and buttons, and shows only the title",
    ),
    custom("custom JSON", {"text": "hi", "alias": "Bot"}, sent(text="hi", alias="Bot")),
    custom("… to a channel", {"text": "hi", "channel": "#news"}, to_channel(text="hi")),
    custom("… to a room", {"text": "hi", "room_id": "r2"}, sent(text="hi", roomId="r2")),
    custom(
        "… to a channel rather than a room",
        {"text": "hi", "channel": "#news", "room_id": "r2"},
        to_channel(text="hi"),
    ),
    custom(
        "… without a text",
        {"attachments": [PARIS]},
        sent(attachments=[PARIS]),
        differs="Rasa fails with an exception",
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
            differs="Rasa logs in and fails, or sends what Rocket.Chat refuses",
        )
        for kind, content in [("buttons", "no list"), ("elements", [1]), ("custom", [])]
    ],
]


def refusal(kind: str, error: str = "what I said") -> dict[str, Any]:
    return {"success": False, "error": f"{error} [{kind}]", "errorType": kind}


SLOWLY = "Error, too many requests. Please slow down. You must wait 42 seconds before trying this"

FAILURES = [
    Failure(
        "429 that states the wait",
        RetryableDeliveryError,
        429,
        refusal("error-too-many-requests", SLOWLY),
        retry_after=42.0,
    ),
    Failure(
        "an older server's 400 that states the wait",
        RetryableDeliveryError,
        400,
        refusal("error-too-many-requests", SLOWLY),
        retry_after=42.0,
    ),
    Failure("a proxy's 429", RetryableDeliveryError, 429, "", {"Retry-After": "9"}, 9.0),
    Failure("500", RetryableDeliveryError, 500, refusal("internal")),
    Failure("a proxy's 502", RetryableDeliveryError, 502, "<html>"),
    Failure("a proxy's HTML page", RetryableDeliveryError, 200, "<html>"),
    Failure(
        "a deleted room",
        RejectedDeliveryError,
        400,
        refusal("invalid-channel"),
        unquoted="what I said",
    ),
    Failure(
        "a room where the bot may not write",
        RejectedDeliveryError,
        400,
        refusal("error-not-allowed"),
    ),
    Failure("no success flag", RejectedDeliveryError, 200, refusal("error-invalid-params")),
    Failure("a missing permission", RejectedDeliveryError, 403, refusal("unauthorized")),
    Failure("a redirect", RejectedDeliveryError, 302, "", {"Location": "/elsewhere"}),
]

TABLE = Table(
    channel="rocketchat",
    credentials=lambda url: {
        "user": "rasa",
        "password": PASSWORD,
        "server_url": url.rstrip("/"),
        "outgoing_webhook_token": SECRET,
    },
    accepts={"success": True, "status": "success", "data": SESSION},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(hook(), post),
        Genuine(hook(isEdited=True, tmid="t1"), post),
        Genuine(livechat(), with_header),
    ],
    secrets=[SECRET, PASSWORD, SESSION["authToken"], "visitor-token"],
)
