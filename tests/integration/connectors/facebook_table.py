"""`facebook`: shapes of developers.facebook.com/docs/messenger-platform (webhooks, Send API)."""

from __future__ import annotations

import hashlib
import hmac
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
)

SECRET = "3e34709d01ea89032asdebfe5a74518"
TOKEN = "EAAbHPa7H9rEBAAuFk4Q3gPKbDedQnx4djJJ1JmQ7CAqO4iJKrQcNT0wtD"
PROOF = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
VERIFY = "rasa-bot"


def signature(body: bytes, digest: str = "sha256", secret: str = SECRET) -> str:
    return f"{digest}={hmac.new(secret.encode(), body, getattr(hashlib, digest)).hexdigest()}"


def post(value: Any) -> Post:
    """Sign as Meta does, with both signatures; Rasa checks the older one."""
    body = as_bytes(value)
    return Post(
        body,
        {
            "Content-Type": "application/json",
            "X-Hub-Signature": signature(body, "sha1"),
            "X-Hub-Signature-256": signature(body),
        },
    )


def post_256(value: Any) -> Post:
    body = as_bytes(value)
    return Post(body, {"Content-Type": "application/json", "X-Hub-Signature-256": signature(body)})


def event(**what: Any) -> dict[str, Any]:
    return {
        "sender": {"id": "2685"},
        "recipient": {"id": "1776"},
        "timestamp": 1458692752478,
        **what,
    }


def batch(*events: dict[str, Any]) -> dict[str, Any]:
    entry = {"id": "1776", "time": 1458692752478, "messaging": list(events)}
    return {"object": "page", "entry": [entry]}


def message(mid: str = "m_1457764197618", **fields: Any) -> dict[str, Any]:
    return event(message={"mid": mid, **fields})


def file(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, "payload": {"url": url}}


HELLO = message(text="hello, world!")
POSTBACK = event(
    postback={"mid": "m_MESSAGE-ID", "title": "Get started", "payload": "/start"},
)
MID = "m_1457764197618"
PLACE = {"type": "location", "payload": {"coordinates": {"lat": 45, "long": 9.2}}}
URL = "https://scontent.xx.fbcdn.net/v/t1.png"
CHALLENGE = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
FIRST = "Rasa reads only the first message of a batch"
BREAKS = "Rasa answers with a 500, and Meta sends the batch again and again"


def silent(says: str, *events: dict[str, Any], **kwargs: Any) -> Incoming:
    return Incoming(says, post(batch(*events)), answer="success", **kwargs)


INCOMING = [
    Incoming(
        "a text is one message",
        post(batch(HELLO)),
        [
            {
                "id": "m_1457764197618",
                "sender_id": "2685",
                "text": "hello, world!",
                "input_channel": "facebook",
                "output_channel": "facebook",
                "metadata": {"mid": "m_1457764197618", "page_id": "1776"},
                "route": {},
            }
        ],
        answer="success",
    ),
    Incoming(
        "the older signature alone is sufficient",
        Post(
            as_bytes(batch(HELLO)),
            {
                "Content-Type": "application/json",
                "X-Hub-Signature": signature(as_bytes(batch(HELLO)), "sha1"),
            },
        ),
        [{"text": "hello, world!"}],
    ),
    Incoming(
        "the older signature is not sufficient next to a wrong newer one",
        Post(
            as_bytes(batch(HELLO)),
            {**post(batch(HELLO)).headers, "X-Hub-Signature-256": signature(b"", secret="x")},
        ),
        status=403,
        differs="Rasa checks only the older signature",
    ),
    Incoming(
        "a signature by another method is refused",
        Post(
            as_bytes(batch(HELLO)),
            {
                "Content-Type": "application/json",
                "X-Hub-Signature": signature(as_bytes(batch(HELLO)), "md5"),
            },
        ),
        status=403,
        differs="Rasa accepts any method that the request names",
    ),
    Incoming(
        "a quick reply sends its payload",
        post(batch(message(text="Yes", quick_reply={"payload": "/affirm"}))),
        [{"text": "/affirm"}],
    ),
    Incoming(
        "a title replaces a missing payload",
        post(batch(message(text="Yes", quick_reply={"payload": ""}))),
        [{"text": "Yes"}],
    ),
    Incoming(
        "a button sends its payload",
        post(batch(POSTBACK)),
        [
            {
                "id": "m_MESSAGE-ID",
                "sender_id": "2685",
                "text": "/start",
                "metadata": {"mid": "m_MESSAGE-ID", "title": "Get started", "page_id": "1776"},
            }
        ],
    ),
    Incoming(
        "a postback of an older API is identified by user and time",
        post(batch(event(postback={"title": "Go", "payload": "/go"}))),
        [{"id": "2685:1458692752478", "text": "/go"}],
    ),
    Incoming(
        "a referral is metadata",
        post(batch(event(postback={"payload": "/start", "referral": {"ref": "ad-7"}}))),
        [{"metadata": {"referral": {"ref": "ad-7"}, "page_id": "1776"}}],
    ),
    *[
        Incoming(
            f"a file ({kind}) says its URL",
            post(batch(message(attachments=[file(kind, URL)]))),
            [
                {
                    "text": URL,
                    "metadata": {
                        "mid": "m_1457764197618",
                        "attachments": [{"type": kind, "url": URL}],
                        "page_id": "1776",
                    },
                }
            ],
            differs=differs,
        )
        for kind, differs in [
            ("image", ""),
            ("audio", ""),
            ("video", ""),
            ("file", ""),
            ("sticker", "Rasa does not know the types that came later"),
            ("reel", "Rasa does not know the types that came later"),
        ]
    ],
    Incoming(
        "a location says where",
        post(batch(message(attachments=[PLACE]))),
        [{"text": '{"lng":9.2, "lat":45}', "metadata": {"mid": MID, "page_id": "1776"}}],
        differs="Rasa fails, because a location has no URL",
    ),
    Incoming(
        "a shared link says its URL",
        post(batch(message(attachments=[{"type": "fallback", "title": "T", "url": URL}]))),
        [
            {
                "text": URL,
                "metadata": {
                    "mid": MID,
                    "attachments": [{"type": "fallback", "url": URL}],
                    "page_id": "1776",
                },
            }
        ],
        differs="Rasa fails, because the URL is elsewhere",
    ),
    Incoming(
        "several files are one message",
        post(batch(message(attachments=[file("image", URL), file("image", f"{URL}?2")]))),
        [
            {
                "text": URL,
                "metadata": {
                    "mid": "m_1457764197618",
                    "attachments": [
                        {"type": "image", "url": URL},
                        {"type": "image", "url": f"{URL}?2"},
                    ],
                    "page_id": "1776",
                },
            }
        ],
    ),
    Incoming(
        "the text of a shared link is its message text",
        post(batch(message(text="https://x.org", attachments=[{"type": "fallback"}]))),
        [{"text": "https://x.org"}],
    ),
    Incoming(
        "a reply to a message names it in the metadata",
        post(batch(message(text="this one", reply_to={"mid": "m_1"}))),
        [
            {
                "text": "this one",
                "metadata": {"mid": "m_1457764197618", "reply_to": "m_1", "page_id": "1776"},
            }
        ],
    ),
    Incoming(
        "every message of a batch is one",
        post(
            {
                "object": "page",
                "entry": [
                    batch(HELLO, message("m_2", text="two"))["entry"][0],
                    batch(event(read={"watermark": 1458668856253}), POSTBACK)["entry"][0],
                ],
            }
        ),
        [{"text": "hello, world!"}, {"id": "m_2", "text": "two"}, {"text": "/start"}],
        differs=FIRST,
    ),
    silent("a delivery is ignored", event(delivery={"mids": ["m_1"], "watermark": 145866885625})),
    silent("a read is ignored", event(read={"watermark": 1458668856253})),
    silent(
        "a reaction is ignored", event(reaction={"mid": "m_1", "emoji": "❤", "action": "react"})
    ),
    silent("an edit is ignored", event(message_edit={"mid": "m_1", "text": "b", "num_edit": 1})),
    silent("an opt-in is ignored", event(optin={"type": "notification_messages"})),
    silent("an echo is ignored", message(text="hi", is_echo=True, app_id=1517776481860111)),
    silent(
        "an echo of an image is ignored",
        message(attachments=[file("image", URL)], is_echo=True),
        differs="Rasa treats the page's own messages as a user's",
    ),
    silent(
        "a file without a URL is ignored",
        message(attachments=[{"type": "fallback", "payload": None}]),
    ),
    silent(
        "a button without a payload is ignored",
        event(postback={"title": "Go"}),
        differs=BREAKS,
    ),
    silent(
        "a message without a sender is ignored",
        {"recipient": {"id": "1776"}, "message": {"mid": "m_1", "text": "hi"}},
        differs="Rasa puts all of them into one conversation, ''",
    ),
    Incoming(
        "events of another app in a conversation are ignored",
        post({"object": "page", "entry": [{"id": "1776", "standby": [HELLO]}]}),
        answer="success",
        differs=BREAKS,
    ),
    Incoming("a body without entries is refused", post({"object": "page"}), status=400),
    Incoming(
        "the challenge is returned",
        Post(method="GET", path=f"webhook?{CHALLENGE}{VERIFY}"),
        answer="1158201444",
    ),
    Incoming(
        "another verify token is refused",
        Post(method="GET", path=f"webhook?{CHALLENGE}other"),
        status=403,
        differs="Rasa answers 200, 'failure, invalid token'",
    ),
    Incoming(
        "a GET without a challenge is refused",
        Post(method="GET", path=f"webhook?hub.verify_token={VERIFY}"),
        status=400,
    ),
    Incoming(
        "without a verify token, no challenge is returned",
        Post(method="GET", path=f"webhook?{CHALLENGE}"),
        status=403,
        settings={"verify": None},
        differs="Rasa answers 200, 'failure, invalid token'",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
]


def call(content: Any, to: str = "2685") -> Sent:
    return Sent(
        "/v26.0/me/messages",
        {
            "messaging_type": "RESPONSE",
            "notification_type": "REGULAR",
            "recipient": {"id": to},
            "message": content,
        },
        query={"access_token": TOKEN, "appsecret_proof": PROOF},
    )


def text(value: str) -> Sent:
    return call({"text": value})


def template(kind: str, **payload: Any) -> Sent:
    return call({"attachment": {"type": "template", "payload": {"template_type": kind, **payload}}})


def buttons(value: str, *items: dict[str, Any]) -> Sent:
    return template("button", text=value, buttons=list(items))


def quick(value: str, *items: tuple[str, str]) -> Sent:
    replies = [{"content_type": "text", "title": title, "payload": p} for title, p in items]
    return call({"text": value, "quick_replies": replies})


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": "2685", **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
MANY = [{"title": f"B{n}", "payload": f"/b{n}"} for n in range(14)]
LINES = [text(f"{n}: B{n - 1} (/b{n - 1})") for n in range(1, 15)]
SITE = {"title": "Site", "url": "https://x.org/"}
PARIS = {"title": "Paris", "subtitle": "France", "image_url": "https://x.org/p.png"}
LONG = "Tell me everything about it"

LARGE = {"title": "Yes", "payload": "a" * 1001}
FOUR = [{"title": f"B{n}", "payload": f"/b{n}"} for n in range(4)]

OUTGOING = [
    Outgoing(
        "a payload of more than 1000 characters is a line of text",
        reply(kind="buttons", text="Sure?", content=[LARGE]),
        [call({"text": "Sure?"}), call({"text": f"1: Yes ({'a' * 1001})"})],
        differs="Messenger refuses it",
    ),
    Outgoing(
        "an element with more than three buttons is a text with quick replies",
        reply(kind="elements", content=[{"title": "T", "subtitle": "S", "buttons": FOUR}]),
        [
            call(
                {
                    "text": "T : S",
                    "quick_replies": [
                        {"content_type": "text", "title": b["title"], "payload": b["payload"]}
                        for b in FOUR
                    ],
                }
            )
        ],
        differs="Messenger refuses it",
    ),
    Outgoing("a text is one call", reply(text="hi"), [text("hi")]),
    Outgoing("each paragraph is a call", reply(text="one\n\ntwo\n"), [text("one"), text("two")]),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [text("one"), text("two")],
        differs="Messenger refuses an empty text",
    ),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 1990} {'b' * 200}"),
        [text("a" * 1990), text("b" * 200)],
        differs="Messenger refuses more than 2000 characters",
    ),
    Outgoing(
        "buttons are sent as a template",
        reply(kind="buttons", text="Sure?", content=[YES, NO]),
        [buttons("Sure?", {**YES, "type": "postback"}, {**NO, "type": "postback"})],
    ),
    Outgoing(
        "buttons with a type keep it",
        reply(
            kind="buttons",
            text="Go",
            content=[
                {**SITE, "type": "web_url", "webview_height_ratio": "tall"},
                {"title": "Call", "type": "phone_number", "payload": "+15550100"},
            ],
        ),
        [
            buttons(
                "Go",
                {**SITE, "type": "web_url", "webview_height_ratio": "tall"},
                {"title": "Call", "type": "phone_number", "payload": "+15550100"},
            )
        ],
    ),
    Outgoing(
        "a button with a URL is a link",
        reply(kind="buttons", text="Go", content=[SITE]),
        [buttons("Go", {**SITE, "type": "web_url"})],
        differs="Rasa sends a postback without a payload, which Messenger refuses",
    ),
    Outgoing(
        "a title replaces a missing payload",
        reply(kind="buttons", text="Sure?", content=[{"title": "Yes"}]),
        [buttons("Sure?", {"title": "Yes", "payload": "Yes", "type": "postback"})],
        differs="Messenger refuses a postback without a payload",
    ),
    Outgoing(
        "a long title is shortened",
        reply(kind="buttons", text="Sure?", content=[{"title": LONG, "payload": "/tell"}]),
        [
            buttons(
                "Sure?", {"title": "Tell me everything …", "payload": "/tell", "type": "postback"}
            )
        ],
        differs="Messenger refuses more than 20 characters",
    ),
    Outgoing(
        "a long text next to buttons is split",
        reply(kind="buttons", text=f"{'a' * 600} {'b' * 100}", content=[YES]),
        [text("a" * 600), buttons("b" * 100, {**YES, "type": "postback"})],
        differs="Messenger refuses more than 640 characters next to buttons",
    ),
    Outgoing(
        "more than three buttons are quick replies",
        reply(kind="buttons", text="Which?", content=MANY[:4]),
        [quick("Which?", *[(f"B{n}", f"/b{n}") for n in range(4)])],
        differs="Messenger accepts three; Rasa drops all of them",
    ),
    Outgoing(
        "more than thirteen buttons are lines",
        reply(kind="buttons", text="Which?", content=MANY),
        [text("Which?"), *LINES],
        differs="Messenger accepts thirteen; Rasa drops all of them",
    ),
    Outgoing(
        "four buttons with a link among them are lines",
        reply(kind="buttons", text="Which?", content=[*MANY[:3], SITE]),
        [
            text("Which?"),
            *LINES[:3],
            text('4: Site (Site) - {"url": "https://x.org/"}'),
        ],
        differs="a quick reply cannot be a link; Rasa drops all of them",
    ),
    Outgoing(
        "a reply without buttons is a text",
        reply(kind="buttons", text="Sure?", content=[]),
        [text("Sure?")],
        differs="Messenger refuses a template without buttons",
    ),
    Outgoing(
        "quick replies",
        reply(kind="quick_replies", text="Sure?", content=[YES, NO]),
        [quick("Sure?", ("Yes", "/affirm"), ("No", "/deny"))],
    ),
    Outgoing(
        "a quick reply may request an address",
        reply(
            kind="quick_replies",
            text="Where?",
            content=[{"content_type": "user_email"}, {**YES, "image_url": "https://x.org/y.png"}],
        ),
        [
            call(
                {
                    "text": "Where?",
                    "quick_replies": [
                        {"content_type": "user_email"},
                        {"content_type": "text", **YES, "image_url": "https://x.org/y.png"},
                    ],
                }
            )
        ],
        differs="Rasa requires title and payload, and does not support images",
    ),
    Outgoing(
        "a quick reply that requests an address, alone",
        reply(kind="quick_replies", text="Where?", content=[{"content_type": "user_email"}]),
        [call({"text": "Where?", "quick_replies": [{"content_type": "user_email"}]})],
        differs="Rasa requires title and payload",
    ),
    Outgoing(
        "a reply without quick replies is a text",
        reply(kind="quick_replies", text="Sure?", content=[]),
        [text("Sure?")],
    ),
    Outgoing(
        "more than thirteen quick replies are lines",
        reply(kind="quick_replies", text="Which?", content=MANY),
        [text("Which?"), *LINES],
        differs="Rasa fails at twelve",
    ),
    Outgoing(
        "an image is an attachment",
        reply(kind="image", content="https://x.org/c.png"),
        [call({"attachment": {"type": "image", "payload": {"url": "https://x.org/c.png"}}})],
    ),
    Outgoing(
        "an attachment that is a URL is a text",
        reply(kind="attachment", content="https://x.org/a.pdf"),
        [text("Attachment: https://x.org/a.pdf")],
    ),
    Outgoing(
        "an object is a Messenger attachment",
        reply(kind="attachment", content=file("file", "https://x.org/a.pdf")),
        [call({"attachment": file("file", "https://x.org/a.pdf")})],
        differs="Rasa sends the object as text",
    ),
    Outgoing(
        "elements are a carousel",
        reply(kind="elements", content=[{**PARIS, "buttons": [YES]}, PARIS]),
        [
            template(
                "generic", elements=[{**PARIS, "buttons": [{**YES, "type": "postback"}]}, PARIS]
            )
        ],
    ),
    Outgoing(
        "a carousel has at most ten elements",
        reply(kind="elements", content=[PARIS] * 12),
        [template("generic", elements=[PARIS] * 10), template("generic", elements=[PARIS] * 2)],
        differs="Messenger refuses more than ten",
    ),
    Outgoing(
        "custom JSON is a message",
        reply(kind="custom", content={"text": "hi", "metadata": "x"}),
        [call({"text": "hi", "metadata": "x"})],
    ),
    Outgoing(
        "custom JSON may name another recipient",
        reply(kind="custom", content={"sender": {"id": "77"}, "text": "hi"}),
        [call({"text": "hi"}, to="77")],
    ),
    Outgoing(
        "a list in custom JSON is several messages",
        reply(kind="custom", content=[{"text": "one"}, {"text": "two"}]),
        [text("one"), text("two")],
        differs="Rasa sends the list as one message, which Messenger refuses",
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
            differs=differs,
        )
        for kind, content, differs in [
            ("buttons", "no list", "Rasa sends only the text"),
            ("elements", [1], ""),
            ("quick_replies", [{"payload": "/affirm"}], ""),
            ("custom", "no object", "Rasa sends what Messenger refuses"),
        ]
    ],
]


def refusal(code: int, subcode: int | None = None, **fields: Any) -> dict[str, Any]:
    error = {"message": "(#1) my secret", "type": "OAuthException", "code": code, **fields}
    if subcode:
        error["error_subcode"] = subcode
    return {"error": {**error, "fbtrace_id": "BLBz/WZt8dN"}}


def usage(minutes: int) -> dict[str, str]:
    return {
        "X-Business-Use-Case-Usage": '{"1776":[{"type":"messenger","call_count":100,'
        f'"total_cputime":25,"total_time":25,"estimated_time_to_regain_access":{minutes}}}]}}'
    }


def retryable(says: str, status: int, body: Any, **kwargs: Any) -> Failure:
    return Failure(says, RetryableDeliveryError, status, body, unquoted="my secret", **kwargs)


def rejected(says: str, status: int, body: Any) -> Failure:
    return Failure(says, RejectedDeliveryError, status, body, unquoted="my secret")


def unavailable(says: str, status: int, body: Any) -> Failure:
    return Failure(says, ServiceUnavailable, status, body, unquoted="my secret")


def of_proof(message: str) -> dict[str, Any]:
    return refusal(100, message=message, type="GraphMethodException")


GRAPH_FAILURES = [
    unavailable(
        "a missing proof", 400, of_proof("API calls from the server require an appsecret_proof")
    ),
    unavailable(
        "a proof from another app", 400, of_proof("Invalid appsecret_proof provided: my secret")
    ),
    retryable("a rate limit of the app", 400, refusal(4)),
    retryable(
        "a rate limit with an estimated end", 400, refusal(4), headers=usage(3), retry_after=180.0
    ),
    retryable("a rate limit without an estimated end", 400, refusal(4), headers=usage(0)),
    retryable(
        "a malformed usage header",
        400,
        refusal(4),
        headers={"X-Business-Use-Case-Usage": "[1]"},
    ),
    retryable("429 with Retry-After", 429, "", headers={"Retry-After": "9"}, retry_after=9.0),
    retryable("429", 429, refusal(999999)),
    retryable("overload", 500, refusal(2)),
    retryable("an unknown error", 500, refusal(131000)),
    retryable("an error that Meta marks as transient", 400, refusal(100, is_transient=True)),
    retryable("a proxy's 502", 502, "<html>"),
    retryable("a proxy's HTML page", 200, "<html>"),
    rejected("a wrong parameter", 400, refusal(100)),
    rejected("an unknown code", 400, refusal(999999)),
    rejected("a redirect", 302, ""),
    unavailable("a wrong token", 401, refusal(190, 463)),
    unavailable("401 without a body", 401, ""),
    unavailable("a missing permission", 403, refusal(200)),
    unavailable("a blocked account", 400, refusal(368)),
]

FAILURES = [
    *GRAPH_FAILURES,
    retryable("a rate limit of the page", 400, refusal(613)),
    retryable("an internal error of Messenger", 400, refusal(1200)),
    rejected("an unknown user", 400, refusal(100, 2018001)),
    rejected("a user who has not written for a day", 403, refusal(10, 2018278)),
    rejected("a user who is not a tester", 403, refusal(200, 2018028)),
    rejected("a user who blocked the page", 400, refusal(551, 1545041)),
    unavailable("a page without the permission", 403, refusal(230)),
]

TABLE = Table(
    channel="facebook",
    credentials=lambda url: {
        "verify": VERIFY,
        "secret": SECRET,
        "page-access-token": TOKEN,
        "api_url": f"{url.rstrip('/')}/v26.0",
    },
    accepts={"recipient_id": "2685", "message_id": "m_AG5Hz2U"},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(
            batch(message(text="Yes", quick_reply={"payload": "/affirm"}, reply_to={"mid": "m_1"})),
            post_256,
        ),
        Genuine(batch(POSTBACK), post_256),
        Genuine(batch(message(attachments=[file("image", URL)])), post_256),
    ],
    signed_by=["X-Hub-Signature-256"],
    secrets=[SECRET, TOKEN],
)
