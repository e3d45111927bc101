"""`whatsapp`: shapes of developers.facebook.com/documentation/business-messaging/whatsapp."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from bridge.errors import RejectedDeliveryError
from tests.integration.connectors import facebook_table as meta
from tests.integration.connectors.facebook_table import refusal, rejected, retryable, unavailable
from tests.integration.connectors.tables import (
    Genuine,
    Incoming,
    Outgoing,
    Post,
    Sent,
    Table,
    as_bytes,
)

NUMBER = "106540352242922"
TOKEN = "EAAJB-fake-token"
PROOF = hmac.new(meta.SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
PHONE, USER = "16505551234", "US.13491208655302741918"
WAMID = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA="
HELLO: dict[str, Any] = {"type": "text", "text": {"body": "Does it come in another color?"}}


def of(
    *messages: dict[str, Any],
    number: str = NUMBER,
    contact: dict[str, Any] | None = None,
    **value: Any,
) -> dict[str, Any]:
    """Return a change that contains messages."""
    known = contact or {"profile": {"name": "Ada Lovelace"}, "wa_id": PHONE}
    about = {"display_phone_number": "15550783881", "phone_number_id": number}
    inner = {"messaging_product": "whatsapp", "metadata": about, "contacts": [known], **value}
    return {"value": {**inner, "messages": list(messages)}, "field": "messages"}


def message(id: str = WAMID, **fields: Any) -> dict[str, Any]:
    return {"from": PHONE, "id": id, "timestamp": "1749416383", **fields}


def batch(*changes: dict[str, Any]) -> dict[str, Any]:
    entry = {"id": "102290129340398", "changes": list(changes)}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def post(*changes: dict[str, Any]) -> Post:
    return meta.post_256(batch(*changes))


def heard(text: str, **about: Any) -> dict[str, Any]:
    return {
        "id": WAMID,
        "sender_id": PHONE,
        "text": text,
        "metadata": {"wamid": WAMID, "phone": PHONE, "name": "Ada Lovelace", **about},
        "route": {"to": PHONE},
    }


def says(what: str, fields: dict[str, Any], text: str, **about: Any) -> Incoming:
    return Incoming(what, post(of(message(**fields))), [heard(text, **about)], answer="success")


def silent(what: str, *changes: dict[str, Any]) -> Incoming:
    return Incoming(what, post(*changes), answer="success")


def media(kind: str, **fields: Any) -> dict[str, Any]:
    file = {"mime_type": "image/jpeg", "sha256": "SfInY0gGKTsJ", "id": "1003383421387256"}
    return {"type": kind, kind: {**file, **fields}}


def chosen(kind: str, **reply: Any) -> dict[str, Any]:
    return {"type": "interactive", "interactive": {"type": kind, kind: reply}}


FAILED = {
    "id": WAMID,
    "status": "failed",
    "timestamp": "1751142888",
    "recipient_id": PHONE,
    "errors": [{"code": 131047, "title": "Re-engagement message"}],
}
PLACE = {"latitude": 37.44216251868683, "longitude": -122, "name": "Here", "address": "Main St 1"}
CONTACT = {"name": {"formatted_name": "Bob"}, "phones": [{"phone": "+15550100", "type": "HOME"}]}
NAMED = {"profile": {"name": "Ada", "username": "ada"}, "user_id": USER}
CHALLENGE = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="

PRODUCT = {"catalog_id": "1", "product_retailer_id": "di9ozbzfi4"}
ORDER = {
    "catalog_id": "1",
    "text": "Love these!",
    "product_items": [{"product_retailer_id": "di9ozbzfi4", "quantity": 2, "item_price": 30}],
}

INCOMING = [
    says("a text is one message", HELLO, "Does it come in another color?"),
    Incoming(
        "the input channel is whatsapp",
        post(of(message(**HELLO))),
        [{"input_channel": "whatsapp", "output_channel": "whatsapp"}],
    ),
    Incoming(
        "a user is identified independently of the number",
        post(of(message(from_user_id=USER, **HELLO), contact={**NAMED, "wa_id": PHONE})),
        [{"sender_id": USER, "route": {"to": PHONE}}],
    ),
    Incoming(
        "a user without a number is identified",
        post(of({**message(**HELLO, from_user_id=USER), "from": None}, contact=NAMED)),
        [
            {
                "sender_id": USER,
                "route": {},
                "metadata": {"wamid": WAMID, "name": "Ada", "username": "ada"},
            }
        ],
    ),
    says(
        "a button sends its payload",
        chosen("button_reply", id="/cancel", title="Cancel"),
        "/cancel",
        title="Cancel",
    ),
    says(
        "a list row sends its payload",
        chosen("list_reply", id="/express", title="Express", description="Next day"),
        "/express",
        title="Express",
        description="Next day",
    ),
    says(
        "a flow sends its response",
        chosen("nfm_reply", name="flow", body="Sent", response_json='{"a": 1}'),
        '{"a": 1}',
        flow="flow",
    ),
    says(
        "a button of a template sends its payload",
        {"type": "button", "button": {"payload": "/stop", "text": "Stop"}},
        "/stop",
        title="Stop",
    ),
    says(
        "the text of an image is its caption",
        media("image", caption="my cat"),
        "my cat",
        media={"type": "image", "id": "1003383421387256", "mime_type": "image/jpeg"},
    ),
    says(
        "the text of a document is its caption",
        media("document", caption="my cv", filename="cv.pdf", mime_type="application/pdf"),
        "my cv",
        media={
            "type": "document",
            "id": "1003383421387256",
            "mime_type": "application/pdf",
            "filename": "cv.pdf",
        },
    ),
    *[
        says(
            f"a file ({kind}) without one says its id",
            media(kind),
            "1003383421387256",
            media={"type": kind, "id": "1003383421387256", "mime_type": "image/jpeg"},
        )
        for kind in ("image", "video", "audio", "sticker")
    ],
    says(
        "a location is JSON, as in Rasa's Telegram channel",
        {"type": "location", "location": PLACE},
        '{"lng":-122, "lat":37.44216251868683}',
        place="Here",
        address="Main St 1",
    ),
    says(
        "the text of a contact is its number",
        {"type": "contacts", "contacts": [CONTACT]},
        "+15550100",
        contacts=[CONTACT],
    ),
    says(
        "the text of a contact without a number is its name",
        {"type": "contacts", "contacts": [{"name": {"formatted_name": "Bob"}}]},
        "Bob",
        contacts=[{"name": {"formatted_name": "Bob"}}],
    ),
    says(
        "the text of an order is its note",
        {"type": "order", "order": ORDER},
        "Love these!",
        order=ORDER,
    ),
    says(
        "an order without a note says its JSON",
        {"type": "order", "order": {"catalog_id": "1"}},
        '{"catalog_id": "1"}',
        order={"catalog_id": "1"},
    ),
    says(
        "the text of a contact without number and name is its JSON",
        {"type": "contacts", "contacts": [{"emails": []}]},
        '{"emails": []}',
        contacts=[{"emails": []}],
    ),
    says(
        "the product that a question is about is metadata",
        {**HELLO, "context": {"from": "1", "id": "wamid.1", "referred_product": PRODUCT}},
        "Does it come in another color?",
        reply_to="wamid.1",
        referred_product=PRODUCT,
    ),
    says(
        "a reply to a message names it in the metadata",
        {**HELLO, "context": {"from": "15550783881", "id": "wamid.1"}},
        "Does it come in another color?",
        reply_to="wamid.1",
    ),
    says(
        "a referral is metadata",
        {**HELLO, "referral": {"source_type": "ad"}},
        "Does it come in another color?",
        referral={"source_type": "ad"},
    ),
    Incoming(
        "every message of a batch is one",
        post(
            of(message(**HELLO), message("wamid.2", type="text", text={"body": "two"})),
            of(message("wamid.3", type="text", text={"body": "three"})),
        ),
        [{"id": WAMID}, {"id": "wamid.2", "text": "two"}, {"id": "wamid.3", "text": "three"}],
    ),
    silent("a status is ignored", of(statuses=[{"id": WAMID, "status": "read"}])),
    silent("a failure is ignored", of(statuses=[FAILED])),
    silent(
        "a reaction is ignored",
        of(message(type="reaction", reaction={"message_id": "wamid.1", "emoji": "👍"})),
    ),
    silent(
        "a message type that the API does not support is ignored",
        of(message(type="unsupported", errors=[{"code": 131051, "title": "Unsupported"}])),
    ),
    silent(
        "a user's change of number is ignored",
        of(message(type="system", system={"body": "changed", "type": "user_changed_number"})),
    ),
    silent("a group is ignored", of(message(**HELLO, group_id="Y2FwaV9ncm91cDox"))),
    silent("a message to another number is ignored", of(message(**HELLO), number="1")),
    silent(
        "other events of the account are ignored",
        {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}},
    ),
    Incoming("a body without entries is refused", meta.post_256({"object": "x"}), status=400),
    Incoming(
        "the challenge is returned",
        Post(method="GET", path=f"webhook?{CHALLENGE}{meta.VERIFY}"),
        answer="1158201444",
    ),
    Incoming(
        "another verify token is refused",
        Post(method="GET", path=f"webhook?{CHALLENGE}other"),
        status=403,
    ),
    Incoming("health", Post(method="GET", path=""), answer={"status": "ok"}),
]


def call(to: dict[str, str] | None = None, **body: Any) -> Sent:
    return Sent(
        f"/v26.0/{NUMBER}/messages",
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **(to or {"to": PHONE}),
            **body,
        },
        {"Authorization": f"Bearer {TOKEN}"},
        query={"appsecret_proof": PROOF},
    )


def text(value: str) -> Sent:
    return call(type="text", text={"body": value})


def interactive(kind: str, body: str, action: dict[str, Any], **more: Any) -> Sent:
    content = {"type": kind, "body": {"text": body}, "action": action, **more}
    return call(type="interactive", interactive=content)


def buttons(body: str, *items: tuple[str, str], **more: Any) -> Sent:
    replies = [{"type": "reply", "reply": {"id": id, "title": title}} for title, id in items]
    return interactive("button", body, {"buttons": replies}, **more)


def rows(body: str, *items: dict[str, str], title: str = "Options") -> Sent:
    return interactive("list", body, {"button": title, "sections": [{"rows": list(items)}]})


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": PHONE, **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
MANY = [{"title": f"B{n}", "payload": f"/b{n}"} for n in range(11)]
ROWS = [{"id": f"/b{n}", "title": f"B{n}"} for n in range(11)]
LINES = [text(f"{n}: B{n - 1} (/b{n - 1})") for n in range(1, 12)]
SITE = {"title": "Our site", "url": "https://x.org/"}
LONG = "Tell me everything about it"
IMAGE = "https://x.org/p.png"
HEADER = {"header": {"type": "image", "image": {"link": IMAGE}}}
PARIS = {"title": "Paris", "subtitle": "France", "image_url": IMAGE}


def sends(what: str, kind: str, content: Any, *calls: Sent, **fields: Any) -> Outgoing:
    return Outgoing(what, reply(kind=kind, content=content, **fields), calls)


OUTGOING = [
    Outgoing("a text is one call", reply(text="hi"), [text("hi")]),
    Outgoing("each paragraph is a call", reply(text="one\n\ntwo\n"), [text("one"), text("two")]),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 4000} {'b' * 200}"),
        [text("a" * 4000), text("b" * 200)],
    ),
    Outgoing(
        "a known number is the address",
        {"recipient_id": USER, "route": {"to": PHONE}, "text": "hi"},
        [text("hi")],
    ),
    Outgoing(
        "without a known number, the user's id is the address",
        {"recipient_id": USER, "text": "hi"},
        [call({"recipient": USER}, type="text", text={"body": "hi"})],
    ),
    sends(
        "up to three buttons are buttons",
        "buttons",
        [YES, NO],
        buttons("Sure?", ("Yes", "/affirm"), ("No", "/deny")),
        text="Sure?",
    ),
    sends(
        "the image of a response follows its buttons, and is not above them, too",
        "buttons",
        [YES],
        buttons("Sure?", ("Yes", "/affirm")),
        text="Sure?",
        options={"image": IMAGE},
    ),
    sends(
        "up to ten buttons are a list",
        "buttons",
        MANY[:4],
        rows("Which?", *ROWS[:4]),
        text="Which?",
    ),
    Outgoing(
        "the title of a list is a key",
        reply(kind="buttons", text="Which?", content=MANY[:4]),
        [rows("Which?", *ROWS[:4], title="Antworten")],
        settings={"list_button": "Antworten"},
    ),
    sends(
        "more than ten buttons are lines", "buttons", MANY, text("Which?"), *LINES, text="Which?"
    ),
    sends(
        "a long title requires a list",
        "buttons",
        [{"title": LONG, "payload": "/tell"}],
        rows("Sure?", {"id": "/tell", "title": f"{LONG[:23]}…", "description": LONG}),
        text="Sure?",
    ),
    sends(
        "a long payload requires a list, and a longer one lines",
        "buttons",
        [{"title": "A", "payload": "/" + "a" * 260}],
        text("Sure?"),
        text(f"1: A (/{'a' * 260})"),
        text="Sure?",
    ),
    sends(
        "buttons with the same payload are lines",
        "buttons",
        [YES, {**YES, "title": "Yeah"}],
        text("Sure?"),
        text("1: Yes (/affirm)"),
        text("2: Yeah (/affirm)"),
        text="Sure?",
    ),
    sends(
        "buttons with the same title are lines",
        "buttons",
        [YES, {**NO, "title": "Yes"}],
        text("Sure?"),
        text("1: Yes (/affirm)"),
        text("2: Yes (/deny)"),
        text="Sure?",
    ),
    sends("buttons without a text are lines", "buttons", [YES], text("1: Yes (/affirm)"), text=""),
    sends("a reply without buttons is a text", "buttons", [], text("Sure?"), text="Sure?"),
    sends(
        "a single button with a URL is a link",
        "buttons",
        [SITE],
        interactive(
            "cta_url",
            "Go",
            {
                "name": "cta_url",
                "parameters": {"display_text": "Our site", "url": "https://x.org/"},
            },
        ),
        text="Go",
    ),
    sends(
        "a link among other buttons is a line",
        "buttons",
        [YES, SITE],
        text("Go"),
        text("1: Yes (/affirm)"),
        text('2: Our site (Our site) - {"url": "https://x.org/"}'),
        text="Go",
    ),
    sends(
        "a long text next to buttons is split",
        "buttons",
        [YES],
        text("a" * 1000),
        buttons("b" * 100, ("Yes", "/affirm")),
        text=f"{'a' * 1000} {'b' * 100}",
    ),
    sends(
        "a long text next to a list is split at a higher limit",
        "buttons",
        MANY[:4],
        rows(f"{'a' * 1000} {'b' * 100}", *ROWS[:4]),
        text=f"{'a' * 1000} {'b' * 100}",
    ),
    sends(
        "quick replies are buttons",
        "quick_replies",
        [YES],
        buttons("Sure?", ("Yes", "/affirm")),
        text="Sure?",
    ),
    sends("an image", "image", IMAGE, call(type="image", image={"link": IMAGE})),
    sends(
        "a URL of a file is sent as a document",
        "attachment",
        "https://x.org/files/a.pdf?x=1",
        call(
            type="document",
            document={"link": "https://x.org/files/a.pdf?x=1", "filename": "a.pdf"},
        ),
    ),
    sends(
        "a URL of a sound is sent as audio",
        "attachment",
        "https://x.org/a.MP3",
        call(type="audio", audio={"link": "https://x.org/a.MP3"}),
    ),
    sends(
        "any other URL is a text",
        "attachment",
        "https://x.org/page",
        text("Attachment: https://x.org/page"),
    ),
    sends(
        "an attachment that is not a URL is a text",
        "attachment",
        "a.pdf",
        text("Attachment: a.pdf"),
    ),
    sends(
        "an object is a WhatsApp message",
        "attachment",
        {"type": "sticker", "sticker": {"id": "7"}},
        call(type="sticker", sticker={"id": "7"}),
    ),
    sends(
        "elements are buttons below an image",
        "elements",
        [{**PARIS, "buttons": [YES]}, {"title": "Rome", "buttons": [NO]}],
        buttons("Paris\nFrance", ("Yes", "/affirm"), **HEADER),
        buttons("Rome", ("No", "/deny")),
    ),
    sends(
        "the image of a list is a separate message",
        "elements",
        [{**PARIS, "buttons": MANY[:4]}],
        call(type="image", image={"link": IMAGE}),
        rows("Paris\nFrance", *ROWS[:4]),
    ),
    sends(
        "elements without buttons are images or texts",
        "elements",
        [PARIS, {"title": "Rome", "subtitle": "Italy"}],
        call(type="image", image={"link": IMAGE, "caption": "Paris\nFrance"}),
        text("Rome\nItaly"),
    ),
    sends(
        "custom JSON is a message",
        "custom",
        {"type": "template", "template": {"name": "hi", "language": {"code": "en"}}},
        call(type="template", template={"name": "hi", "language": {"code": "en"}}),
    ),
    sends(
        "custom JSON may name another recipient",
        "custom",
        {"to": "15550100", "type": "text", "text": {"body": "hi"}},
        call({"to": "15550100"}, type="text", text={"body": "hi"}),
    ),
    sends(
        "a list in custom JSON is several messages",
        "custom",
        [{"type": "text", "text": {"body": str(n)}} for n in (1, 2)],
        text("1"),
        text("2"),
    ),
    *[
        Outgoing(
            f"{kind} {content!r} is rejected",
            reply(kind=kind, text="x", content=content),
            error=RejectedDeliveryError,
        )
        for kind, content in [
            ("buttons", "no list"),
            ("elements", [1]),
            ("elements", [{"title": "T", "buttons": [1]}]),
            ("custom", "no object"),
        ]
    ],
]

FAILURES = [
    *meta.GRAPH_FAILURES,
    *[
        retryable(what, status, refusal(code))
        for what, status, code in [
            ("a rate limit of the number", 400, 130429),
            ("a rate limit of the account", 400, 80007),
            ("a rate limit of the recipient", 400, 131056),
            ("a rate limit after complaints", 400, 131048),
            ("an unavailable service", 500, 131016),
        ]
    ],
    *[
        rejected(what, 400, refusal(code))
        for what, code in [
            ("a user who has not written for a day", 131047),
            ("an unreachable user", 131026),
            ("a user who is not on the test list", 131030),
            ("a template that does not exist", 132001),
            ("a file that cannot be fetched", 131053),
        ]
    ],
    *[
        unavailable(what, status, refusal(*code))
        for what, status, code in [
            ("a number of another account", 400, (100, 33)),
            ("an unregistered number", 400, (133010,)),
            ("a locked account", 403, (131031,)),
            ("an unpaid account", 400, (131042,)),
        ]
    ],
]

TABLE = Table(
    channel="whatsapp",
    credentials=lambda url: {
        "access_token": TOKEN,
        "phone_number_id": NUMBER,
        "app_secret": meta.SECRET,
        "verify": meta.VERIFY,
        "api_url": f"{url.rstrip('/')}/v26.0",
    },
    accepts={"messaging_product": "whatsapp", "messages": [{"id": WAMID}]},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(batch(of(message(**fields))), lambda value: meta.post_256(as_bytes(value)))
        for fields in [
            {**HELLO, "context": {"id": "wamid.1"}, "from_user_id": USER},
            chosen("button_reply", id="/cancel", title="Cancel"),
            {"type": "contacts", "contacts": [CONTACT]},
            media("image", caption="my cat"),
            {"type": "location", "location": PLACE},
        ]
    ],
    signed_by=["X-Hub-Signature-256"],
    secrets=[meta.SECRET, TOKEN],
)
