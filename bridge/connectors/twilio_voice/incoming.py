"""Twilio's voice webhook, parsed into messages: what a caller said.

The fields: https://www.twilio.com/docs/voice/twiml/gather and …/voice/twiml.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

from bridge.connectors.base import Connector
from bridge.connectors.toolkit.events import compact
from bridge.connectors.toolkit.request import Request
from bridge.connectors.twilio.incoming import expect_sender, form_of
from bridge.connectors.twilio_voice.outgoing import COOKIE
from bridge.messages import InboundMessage

WITHHELD = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""Twilio's codes for withheld numbers: anonymous, restricted, … typed on a phone's keys."""


CALLBACKS = {
    "CallbackSource": "status",
    "RecordingSid": "recording",
    "TranscriptionSid": "transcription",
    "StreamSid": "stream",
    "ConferenceSid": "conference",
    "StableSpeechResult": "partial_result",
    "UnstableSpeechResult": "partial_result",
}
"""Field → the kind of a callback that has it: Twilio tells of a call, and plays no answer to it."""
ENDED = frozenset({"busy", "canceled", "completed", "failed", "no-answer"})
"""States of a call in which it hears nothing more."""


def parse(connector: Connector, request: Request, initial_prompt: str) -> list[InboundMessage]:
    """Return the caller's words, `initial_prompt` for a new call, or [] for silence.

    Raises:
        RequestRejected: 400 or 415, it is not a request of Twilio.
    """
    form = form_of(request)
    callback = _callback(form)
    if callback:
        connector.ignore(callback)
        return []
    expect_sender(form)
    text = form.get("SpeechResult") or form.get("Digits")
    if form.get("SpeechResult") is None and _is_new(form, request):
        text = text or initial_prompt
    if form.get("CallStatus") in ENDED and not text:
        connector.ignore("status")
    if not text:
        return []
    call, token = form.get("CallSid"), request.headers.get("i-twilio-idempotency-token")
    return [
        connector.message(
            request,
            id=f"{call}:{token}" if call and token else None,
            sender_id=caller_of(form),
            text=text,
            metadata=compact(
                call_sid=call,
                to=form.get("To"),
                direction=form.get("Direction") if _is_outgoing(form) else None,
            ),
        )
    ]


def _callback(form: Mapping[str, str]) -> str | None:
    """Return the kind of a callback, or None for a request of a caller.

    A status has the fields of a new call, and would begin the conversation a second time.
    """
    if "MachineDetectionDuration" in form and "CallStatus" not in form:
        return "machine_detection"
    return next((kind for field, kind in CALLBACKS.items() if field in form), None)


def _is_new(form: Mapping[str, str], request: Request) -> bool:
    """Return whether a call begins. The one called has answered before Twilio asks for the first
    time, so that only the cookie tells it from silence.
    """
    state = form.get("CallStatus")
    return state == "ringing" or (
        state == "in-progress" and _is_outgoing(form) and not last_reply(request)
    )


def _is_outgoing(form: Mapping[str, str]) -> bool:
    return form.get("Direction", "").startswith("outbound")


def last_reply(request: Request) -> str:
    """Return the last reply in the call of a request, from its cookie; '' if it is not known.

    The cookie names its call, because Twilio may return it in another call between the same two
    numbers, and all callers who withhold their number share one.
    """
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    call, _, text = unquote(cookie.value if cookie else "").partition(":")
    return text if call == request.form().get("CallSid") else ""


def caller_of(form: Mapping[str, str]) -> str:
    """Return the conversation: the number of the person, or the call if it is withheld.

    In an outgoing call, `From` is our own number.
    """
    person = form.get("To") or form["From"] if _is_outgoing(form) else form["From"]
    if person in WITHHELD or person.lower() in ("anonymous", "restricted", "unavailable"):
        return form.get("CallSid") or person
    return person
