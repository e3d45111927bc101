"""`twilio`: shapes of www.twilio.com/docs/messaging (webhook requests, Message resource)."""

from __future__ import annotations

import base64
import hmac
from typing import Any
from urllib.parse import parse_qs, urlencode

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

ACCOUNT = "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
TOKEN = "12345f0e6d2f4a0c8a7c2f6f1b9d8e7a"
NUMBER, USER = "+15550100", "+14017122661"
SID = "SMXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
URL = "https://bot.example/webhooks/twilio/webhook"
FORM = "application/x-www-form-urlencoded"


def signature(url: str, body: bytes, token: str = TOKEN, digest: str = "sha1") -> str:
    """Sign as specified in https://www.twilio.com/docs/usage/webhooks/webhooks-security."""
    fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    pairs = (name + value for name in sorted(fields) for value in sorted(set(fields[name])))
    signed = hmac.new(token.encode(), (url + "".join(pairs)).encode(), digest)
    return base64.b64encode(signed.digest()).decode()


def signed(body: bytes, url: str = URL, **headers: str) -> Post:
    return Post(body, {"Content-Type": FORM, "X-Twilio-Signature": signature(url, body), **headers})


def encoded(value: Any) -> bytes:
    """Return an object as a form, and anything else unchanged."""
    if not isinstance(value, dict):
        return as_bytes(value)
    texts = {k: v if isinstance(v, str) else as_bytes(v).decode() for k, v in value.items()}
    return urlencode(texts, errors="surrogatepass").encode()


def message(**changes: str | None) -> dict[str, str]:
    fields = {
        "MessageSid": SID,
        "SmsMessageSid": SID,
        "SmsSid": SID,
        "SmsStatus": "received",
        "AccountSid": ACCOUNT,
        "From": USER,
        "To": NUMBER,
        "Body": "hello",
        "NumMedia": "0",
        "NumSegments": "1",
        "ApiVersion": "2010-04-01",
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def post(**changes: str | None) -> Post:
    return signed(encoded(message(**changes)))


def heard(text: str, **about: Any) -> dict[str, Any]:
    return {
        "id": SID,
        "sender_id": USER,
        "text": text,
        "input_channel": "twilio",
        "output_channel": "twilio",
        "metadata": {"message_sid": SID, "to": NUMBER, **about},
        "route": {},
    }


MEDIA = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1"
FILE = {"NumMedia": "1", "MediaUrl0": MEDIA, "MediaContentType0": "image/jpeg"}
ABOUT_FILE = {"media": [{"url": MEDIA, "content_type": "image/jpeg"}]}
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
PAYLOAD = "Rasa reads the title"
LOCATION = "Rasa's arguments are not JSON, so the intent has no entities"

INCOMING = [
    Incoming("a text is one message", post(), [heard("hello")], answer=NO_REPLY, differs="204"),
    Incoming("a corrupted @ of an SMS is restored", post(Body="ada¡x.org"), [heard("ada@x.org")]),
    *[
        Incoming(
            f"{text!r} stays in {side}",
            post(From=side, To=to, Body=text),
            [{"text": text, "sender_id": side}],
            differs="Rasa reads every ¡ as @",
        )
        for side, to in [
            (f"whatsapp:{USER}", f"whatsapp:{NUMBER}"),
            (f"rcs:{USER}", "rcs:brand_agent"),
            ("messenger:7890", "messenger:1234"),
        ]
        for text in ["¡Hola! ¿Cómo estás?"]
    ],
    Incoming(
        "an exclamation in Spanish stays in an SMS",
        post(Body="¡Hola! ¡Qué tal!"),
        [heard("¡Hola! ¡Qué tal!")],
        differs="Rasa reads every ¡ as @",
    ),
    *[
        Incoming(
            f"a user who wrote to {to} is answered from there",
            post(From=user, To=to),
            [{"sender_id": user, "route": {"from": to}}],
        )
        for user, to in [
            ("messenger:7890", "messenger:1234"),
            (f"rcs:{USER}", "rcs:brand_agent"),
            (USER, "+15550199"),
            (f"whatsapp:{USER}", "whatsapp:+15550199"),
        ]
    ],
    Incoming(
        "the answer of a form",
        post(Body="", InteractiveData='{"size": "L"}'),
        [heard('{"size": "L"}')],
        differs="Rasa accepts an empty text",
    ),
    Incoming(
        "a user of WhatsApp",
        post(From=f"whatsapp:{USER}", ProfileName="Ada", WaId="14017122661"),
        [
            {
                **heard("hello", profile_name="Ada", wa_id="14017122661"),
                "sender_id": f"whatsapp:{USER}",
            }
        ],
    ),
    Incoming(
        "a button sends its payload",
        post(Body="Yes", ButtonText="Yes", ButtonPayload="/affirm"),
        [heard("/affirm", title="Yes")],
        differs=PAYLOAD,
    ),
    Incoming(
        "a list row sends its payload",
        post(Body="Express", ListTitle="Express", ListId="/express"),
        [heard("/express", title="Express")],
        differs=PAYLOAD,
    ),
    Incoming(
        "a location is Rasa's intent",
        post(Body=None, Latitude="37.5", Longitude="-122", Address="Main St 1"),
        [heard('/locationData{"Latitude": 37.5, "Longitude": -122.0}', address="Main St 1")],
        differs=LOCATION,
    ),
    *[
        Incoming(
            f"a location at {where!r} is refused",
            post(Latitude=where, Longitude="1"),
            status=400,
            differs="Rasa treats it as a location",
        )
        for where in ("here", "nan", "1}")
    ],
    Incoming(
        "the text of a file is its body",
        post(Body="my cat", **FILE),
        [heard("my cat", **ABOUT_FILE)],
    ),
    Incoming(
        "the text of a file without a body is its URL",
        post(Body="", **FILE),
        [heard(MEDIA, **ABOUT_FILE)],
        differs="Rasa accepts an empty text",
    ),
    Incoming(
        "a reply to a message names it in the metadata",
        post(OriginalRepliedMessageSid="SM1"),
        [heard("hello", reply_to="SM1")],
    ),
    Incoming(
        "a repeated field is signed with both values",
        signed(encoded(message()) + b"&Tag=b&Tag=a"),
        [heard("hello")],
    ),
    Incoming(
        "an empty text is ignored",
        post(Body=" "),
        answer=NO_REPLY,
        differs="Rasa treats it as a message",
    ),
    Incoming(
        "a status callback is ignored",
        post(MessageStatus="delivered", SmsStatus="delivered", Body="hello"),
        answer=NO_REPLY,
        differs="Rasa treats it as a message",
    ),
    Incoming(
        "a form without a sender is refused",
        post(From=None),
        status=400,
        differs="Rasa answers with a 204",
    ),
    Incoming(
        "the signature of another URL is refused",
        signed(encoded(message()), url="https://bot.example/webhooks/other/webhook"),
        status=403,
        differs="Rasa does not check signatures",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
    Incoming("GET is refused", Post(method="GET"), status=405),
]


def call(**fields: str) -> Sent:
    return Sent(
        f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
        {"From": NUMBER, "To": USER, **fields},
        {"Authorization": f"Basic {base64.b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}"},
    )


def without(sent: Sent, key: str) -> Sent:
    body = {name: value for name, value in sent.body.items() if name != key}
    return Sent(sent.path, body, sent.headers)


def text(value: str) -> Sent:
    return call(Body=value)


def reply(**fields: Any) -> dict[str, Any]:
    return {"recipient_id": USER, **fields}


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
SERVICE = f"MG{'0' * 32}"

OUTGOING = [
    Outgoing("a text is one call", reply(text="hi"), [text("hi")]),
    Outgoing("each paragraph is a call", reply(text="one\n\ntwo\n"), [text("one"), text("two")]),
    Outgoing(
        "blank paragraphs are left out",
        reply(text="one\n\n\n\ntwo"),
        [text("one"), text("two")],
        differs="Twilio refuses an empty text",
    ),
    Outgoing(
        "a long text is split between words",
        reply(text=f"{'a' * 1590} {'b' * 20}"),
        [text("a" * 1590), text("b" * 20)],
        differs="Twilio refuses more than 1600 characters",
    ),
    Outgoing(
        "a WhatsApp user receives messages from a WhatsApp number",
        {"recipient_id": f"whatsapp:{USER}", "text": "hi"},
        [call(To=f"whatsapp:{USER}", From=f"whatsapp:{NUMBER}", Body="hi")],
        settings={"twilio_number": f"whatsapp:{NUMBER}"},
    ),
    Outgoing(
        "a plain number is turned into a WhatsApp number",
        {"recipient_id": f"whatsapp:{USER}", "text": "hi"},
        [call(To=f"whatsapp:{USER}", From=f"whatsapp:{NUMBER}", Body="hi")],
        differs="Twilio refuses an SMS number for WhatsApp",
    ),
    Outgoing(
        "an answer comes from the address that the user wrote to",
        {"recipient_id": "messenger:7890", "route": {"from": "messenger:1234"}, "text": "hi"},
        [call(To="messenger:7890", From="messenger:1234", Body="hi")],
        differs="Twilio refuses two channels",
    ),
    Outgoing(
        "… or from a Messaging Service",
        {"recipient_id": "messenger:7890", "route": {"from": "messenger:1234"}, "text": "hi"},
        [without(call(To="messenger:7890", MessagingServiceSid=SERVICE, Body="hi"), "From")],
        settings={"twilio_number": SERVICE},
        differs="Rasa treats it as a number",
    ),
    Outgoing(
        "a Messaging Service may send",
        reply(text="hi"),
        [without(call(MessagingServiceSid=SERVICE, Body="hi"), "From")],
        settings={"twilio_number": SERVICE},
        differs="Rasa treats it as a number",
    ),
    Outgoing(
        "buttons are lines",
        reply(kind="buttons", text="Sure?", content=[YES, NO]),
        [text("Sure?"), text("1: Yes (/affirm)"), text("2: No (/deny)")],
    ),
    Outgoing(
        "quick replies are sent in the same way",
        reply(kind="quick_replies", text="Sure?", content=[YES]),
        [text("Sure?"), text("1: Yes (/affirm)")],
    ),
    Outgoing(
        "an image is sent as a file",
        reply(kind="image", content="https://x.org/c.png"),
        [call(MediaUrl="https://x.org/c.png")],
    ),
    Outgoing(
        "an attachment is a text",
        reply(kind="attachment", content="https://x.org/a.pdf"),
        [text("Attachment: https://x.org/a.pdf")],
    ),
    Outgoing(
        "each element is a text with buttons",
        reply(
            kind="elements",
            content=[{"title": "Paris", "subtitle": "France", "buttons": [YES]}],
        ),
        [text("Paris : France"), text("1: Yes (/affirm)")],
    ),
    Outgoing(
        "custom JSON may use Rasa's names",
        reply(
            kind="custom",
            content={
                "body": "hi",
                "media_url": ["https://x.org/c.png"],
                "status_callback": "https://x.org/status",
                "max_price": None,
            },
        ),
        [
            call(
                Body="hi",
                MediaUrl="https://x.org/c.png",
                StatusCallback="https://x.org/status",
            )
        ],
    ),
    Outgoing(
        "custom JSON may name both numbers",
        reply(kind="custom", content={"from_": "+15550199", "to": "+15550101", "body": "hi"}),
        [call(From="+15550199", To="+15550101", Body="hi")],
    ),
    Outgoing(
        "custom JSON may name a Messaging Service",
        reply(kind="custom", content={"messaging_service_sid": SERVICE, "body": "hi"}),
        [without(call(MessagingServiceSid=SERVICE, Body="hi"), "From")],
    ),
    Outgoing(
        "custom JSON may name a template",
        reply(
            kind="custom",
            content={"content_sid": "HX1", "content_variables": {"1": "Ada"}, "send_as_mms": True},
        ),
        [call(ContentSid="HX1", ContentVariables='{"1": "Ada"}', SendAsMms="true")],
        differs="Rasa adds an empty text, and sends only the keys of an object",
    ),
    Outgoing(
        "a list in custom JSON is several messages",
        reply(kind="custom", content=[{"body": "one"}, {"body": "two"}]),
        [text("one"), text("two")],
        differs="Rasa fails with an exception",
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
            ("custom", "no object", ""),
        ]
    ],
]


def refusal(status: int, code: int) -> dict[str, Any]:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": "my secret", "more_info": more, "status": status}


def failure(says: str, error: type[Exception], status: int, body: Any, **kwargs: Any) -> Failure:
    return Failure(says, error, status, body, unquoted="my secret", **kwargs)


LATER, NEVER = RetryableDeliveryError, RejectedDeliveryError

FAILURES = [
    failure("429", LATER, 429, refusal(429, 20429), headers={"Retry-After": "3"}, retry_after=3.0),
    failure("a daily limit", LATER, 429, refusal(429, 63038)),
    failure("a number's full queue", LATER, 400, refusal(400, 21611)),
    failure("500", LATER, 500, refusal(500, 20500)),
    failure("a proxy's 502", LATER, 502, "<html>"),
    failure("a proxy's HTML page", LATER, 200, "<html>"),
    failure("a user who said STOP", NEVER, 400, refusal(400, 21610)),
    failure("a number that does not exist", NEVER, 400, refusal(400, 21211)),
    failure("a redirect", NEVER, 307, ""),
    failure("400 without a body", NEVER, 400, ""),
    failure("a wrong token", ServiceUnavailable, 401, refusal(401, 20003)),
    failure("an HTML page with 401", ServiceUnavailable, 401, "<html>"),
    failure("an account that does not exist", ServiceUnavailable, 404, refusal(404, 20404)),
    failure("a number of another account", ServiceUnavailable, 400, refusal(400, 21606)),
]

TABLE = Table(
    channel="twilio",
    credentials=lambda url: {
        "account_sid": ACCOUNT,
        "auth_token": TOKEN,
        "twilio_number": NUMBER,
        "webhook_url": URL,
        "api_url": url,
    },
    accepts={"sid": SID, "status": "queued"},
    incoming=INCOMING,
    outgoing=OUTGOING,
    failures=FAILURES,
    genuine=[
        Genuine(message(), lambda value: signed(encoded(value))),
        Genuine(message(Body="", **FILE), lambda value: signed(encoded(value))),
        Genuine(message(Latitude="37.5", Longitude="-122"), lambda value: signed(encoded(value))),
    ],
    signed_by=["X-Twilio-Signature"],
    secrets=[TOKEN],
)
