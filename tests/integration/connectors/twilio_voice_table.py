"""`twilio_voice`: shapes of www.twilio.com/docs/voice (TwiML requests, Gather)."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from tests.integration.connectors.tables import Genuine, Incoming, Post, Table
from tests.integration.connectors.twilio_table import (
    ACCOUNT,
    NUMBER,
    TOKEN,
    USER,
    encoded,
    signed as signed_for,
)

CALL = "CAXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
URL = "https://bot.example/webhooks/twilio_voice/webhook"
FALLBACK = "I'm sorry I didn't get that could you rephrase."


def signed(value: Any) -> Post:
    token = {"I-Twilio-Idempotency-Token": "b8b5ac4e-0d2a-4d5b-9b0b-2e5f9f6a7c11"}
    return signed_for(encoded(value), URL, **token)


def call(**changes: str | None) -> dict[str, str]:
    fields = {
        "CallSid": CALL,
        "AccountSid": ACCOUNT,
        "From": USER,
        "To": NUMBER,
        "CallStatus": "in-progress",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def post(**changes: str | None) -> Post:
    return signed(call(**changes))


def said(text: str, voice: str = "woman") -> str:
    return f'<Say voice="{voice}">{escape(text)}</Say>'


def twiml(*texts: str, voice: str = "woman", how: str = "") -> str:
    how = how or 'enhanced="false" input="speech" speechModel="default" speechTimeout="5"'
    *before, last = texts
    pauses = "".join(f'{said(text, voice)}<Pause length="1" />' for text in before)
    action = 'action="/webhooks/twilio_voice/webhook" actionOnEmptyResult="true"'
    gather = f"<Gather {action} {how}>{said(last, voice)}</Gather>"
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{pauses}{gather}</Response>'


def heard(text: str) -> dict[str, Any]:
    return {
        "id": f"{CALL}:b8b5ac4e-0d2a-4d5b-9b0b-2e5f9f6a7c11",
        "sender_id": USER,
        "text": text,
        "input_channel": "twilio_voice",
        "output_channel": "twilio_voice",
        "metadata": {"call_sid": CALL, "to": NUMBER},
    }


YES = {"title": "Yes", "payload": "/affirm"}
NO = {"title": "No", "payload": "/deny"}
HI = [{"text": "hi & bye"}]


def spoken(what: str, replies: list[dict[str, Any]], *texts: str, **kwargs: Any) -> Incoming:
    return Incoming(
        what,
        post(SpeechResult="book a table", Confidence="0.9"),
        [heard("book a table")],
        answer=twiml(*texts),
        replies=replies,
        **kwargs,
    )


INCOMING = [
    spoken("the replies are the response", HI, "hi & bye"),
    spoken(
        "replies are spoken with pauses",
        [{"text": "one\n\ntwo"}, {"text": "three"}],
        "one",
        "two",
        "three",
    ),
    spoken(
        "blank paragraphs are left out",
        [{"text": "one\n\n\n\ntwo"}],
        "one",
        "two",
        differs="Rasa speaks empty texts, with pauses",
    ),
    spoken(
        "the titles of buttons are spoken",
        [{"kind": "buttons", "text": "Sure?", "content": [YES, NO]}],
        "Sure?",
        "Yes",
        "No",
    ),
    spoken(
        "quick replies are sent in the same way",
        [{"kind": "quick_replies", "text": "Sure?", "content": [YES]}],
        "Sure?",
        "Yes",
    ),
    spoken(
        "elements are spoken",
        [
            {
                "kind": "elements",
                "content": [{"title": "Paris", "subtitle": "France", "buttons": [YES]}],
            }
        ],
        "Paris : France",
        "Yes",
    ),
    spoken(
        "an image is not spoken",
        [{"kind": "image", "content": "https://x.org/c.png"}, *HI],
        *["hi & bye"],
    ),
    *[
        spoken(
            f"{kind} is not spoken",
            [{"kind": kind, "content": content}, *HI],
            "hi & bye",
            differs="Rasa answers with a 500, and the call ends",
        )
        for kind, content in [("attachment", "https://x.org/a.pdf"), ("custom", {"a": 1})]
    ],
    Incoming(
        "a turn without replies ends the call",
        post(SpeechResult="bye"),
        [heard("bye")],
        answer='<?xml version="1.0" encoding="UTF-8"?><Response />',
    ),
    Incoming(
        "a call begins with the initial prompt",
        post(CallStatus="ringing"),
        [heard("hello")],
        answer=twiml("hi & bye"),
        replies=HI,
    ),
    Incoming(
        "the initial prompt is a key",
        post(CallStatus="ringing"),
        [heard("/start")],
        settings={"initial_prompt": "/start"},
    ),
    Incoming(
        "an outgoing call begins when it is answered; its conversation is the one called",
        post(From=NUMBER, To=USER, Direction="outbound-api"),
        [
            {
                **heard("hello"),
                "sender_id": USER,
                "metadata": {"call_sid": CALL, "to": USER, "direction": "outbound-api"},
            }
        ],
        answer=twiml("hi & bye"),
        replies=HI,
        differs="Rasa puts all of them into the conversation of the bot's own number",
    ),
    Incoming(
        "what the one called says",
        post(From=NUMBER, To=USER, Direction="outbound-dial", SpeechResult="yes"),
        [{"sender_id": USER, "text": "yes"}],
        answer=twiml("hi & bye"),
        replies=HI,
        differs="Rasa puts all of them into the conversation of the bot's own number",
    ),
    spoken(
        "a long text is said in pieces",
        [{"text": f"{'a' * 2900} {'b' * 200}"}],
        "a" * 2900,
        "b" * 200,
        differs="Twilio ends a call for more than 4096 characters",
    ),
    *[
        Incoming(
            f"one who shows no number ({shown}) has a conversation of this call",
            post(From=shown, SpeechResult="hello"),
            [{**heard("hello"), "sender_id": CALL}],
            differs="Rasa puts all of them into one conversation",
        )
        for shown in ("+266696687", "Anonymous")
    ],
    Incoming(
        "silence is answered with the fallback phrase",
        post(SpeechResult=None),
        answer=twiml(FALLBACK),
    ),
    Incoming(
        "the fallback phrase is a key",
        post(SpeechResult=None),
        answer=twiml("What?"),
        settings={"reprompt_fallback_phrase": "What?"},
    ),
    Incoming(
        "an empty result is silence",
        post(SpeechResult=""),
        answer=twiml(FALLBACK),
    ),
    Incoming(
        "the parameters for speaking and listening are keys",
        post(SpeechResult="hello"),
        [heard("hello")],
        answer=twiml(
            "hi & bye",
            voice="Polly.Amy",
            how='enhanced="true" input="speech" speechModel="phone_call" speechTimeout="3"',
        ),
        replies=HI,
        settings={
            "assistant_voice": "Polly.Amy",
            "speech_model": "phone_call",
            "speech_timeout": "3",
            "enhanced": "true",
        },
    ),
    Incoming(
        "a form without a sender is refused",
        post(From=None, SpeechResult="hello"),
        status=400,
        differs="Rasa accepts it without a sender",
    ),
    Incoming(
        "the signature of another URL is refused",
        signed_for(encoded(call(SpeechResult="hello")), "https://bot.example/other"),
        status=403,
        differs="Rasa does not check signatures",
    ),
    Incoming("health is at Rasa's URL", Post(method="GET", path=""), answer={"status": "ok"}),
]

TABLE = Table(
    channel="twilio_voice",
    credentials=lambda url: {"auth_token": TOKEN, "webhook_url": URL},
    accepts=None,
    incoming=INCOMING,
    outgoing=[],
    failures=[],
    genuine=[
        Genuine(call(SpeechResult="hello"), signed),
        Genuine(call(CallStatus="ringing"), signed),
    ],
    signed_by=["X-Twilio-Signature"],
    secrets=[TOKEN],
    synchronous=True,
)
