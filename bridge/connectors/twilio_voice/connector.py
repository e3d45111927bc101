"""`twilio_voice`: phone calls; what the assistant says is the TwiML that answers the request.

Rasa's own channel: rasa/core/channels/twilio_voice.py (3.6). The API:
https://www.twilio.com/docs/voice/twiml/gather.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote

from sanic import Request as SanicRequest
from sanic.response import HTTPResponse, text as text_response
from twilio.twiml.voice_response import Gather, VoiceResponse

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.toolkit.replies import buttons_of, elements_as_buttons, parts
from bridge.connectors.toolkit.tokens import token_list
from bridge.connectors.twilio.tokens import Signature, expect_form
from bridge.errors import RejectedDeliveryError, SettingsError, TurnFailed
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply

log = logging.getLogger(__name__)

COOKIE = "said"
"""What was said last in a call, to be said again. Twilio keeps it for every webhook process."""
LONGEST = 4000
"""Bytes of a cookie that everybody takes."""

WITHHELD = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""What Twilio calls those who show no number: anonymous, restricted, … on the keys of a phone."""


class TwilioVoiceConnector(Connector):
    name = "twilio_voice"
    synchronous = True
    verification = Verification(
        "signature", "auth_token", "whoever knows the URL can speak as any caller"
    )

    def __init__(
        self,
        initial_prompt: str = "hello",
        reprompt_fallback_phrase: str = "I'm sorry I didn't get that could you rephrase.",
        assistant_voice: str = "woman",
        speech_timeout: int | str = "5",
        speech_model: str = "default",
        enhanced: bool | str = "false",
        auth_token: str = "",
        webhook_url: str | None = None,
        shared_key: str | list[str] | None = None,
        timeout: float = 14.0,
    ) -> None:
        """The keys of Rasa's TwilioVoiceInput, and four more.

        `auth_token`, `webhook_url`, `shared_key`: as of the channel `twilio`. `timeout`: seconds to
        wait for a turn; Twilio itself waits 15.

        Raises:
            SettingsError: Twilio would not take these together; as Rasa.
        """
        self._initial_prompt = initial_prompt
        self._fallback = reprompt_fallback_phrase
        self._voice = assistant_voice
        self._speech_timeout = str(speech_timeout)
        self._speech_model = speech_model
        self._enhanced = str(enhanced).lower()
        checks = auth_token.strip() or token_list(shared_key)
        self._signature = Signature(auth_token, webhook_url, shared_key) if checks else None
        self._timeout = timeout
        self._check()

    def _check(self) -> None:
        auto = self._speech_timeout.lower() == "auto"
        if not auto and not self._speech_timeout.isdecimal():
            raise SettingsError("key 'speech_timeout': a whole number of seconds, or 'auto'")
        if auto and self._speech_model in ("default", "phone_call"):
            raise SettingsError("key 'speech_timeout': 'auto' needs another 'speech_model'")
        if self._enhanced not in ("true", "false"):
            raise SettingsError("key 'enhanced': true or false")
        if self._enhanced == "true" and self._speech_model != "phone_call":
            raise SettingsError("key 'enhanced': true needs 'speech_model: phone_call'")

    def verifies(self) -> bool:
        return self._signature is not None

    def verify(self, request: Request) -> None:
        if self._signature:
            self._signature.verify(request)

    def parse(self, request: Request) -> list[InboundMessage]:
        """Return what a caller says, the initial prompt for one who calls, or nothing: silence."""
        form = expect_form(request)
        text = form.get("SpeechResult")
        if text is None and form.get("CallStatus") == "ringing":
            text = self._initial_prompt
        if not text:
            return []
        call, token = form.get("CallSid"), request.headers.get("i-twilio-idempotency-token")
        return [
            self.message(
                request,
                id=f"{call}:{token}" if call and token else None,
                sender_id=caller_of(form),
                text=text,
                metadata={"call_sid": call, "to": form.get("To")},
            )
        ]

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        messages = self.parse(incoming)
        if not messages:
            return self._answer([said_last(incoming) or self._fallback])
        replies = inbox.collect(messages[0], self._timeout)
        await replies.enqueued()
        texts = []
        last = ""
        try:
            async for reply in replies:
                texts += [part.text or "" for part in self.split(reply)]
                if reply.text and reply.text.strip():
                    last = reply.text
        except TurnFailed as error:
            # Any other answer ends the call.
            log.warning("the caller is asked again: %s", error)
            texts.append(self._fallback)
        return self._answer(texts, self._cookie(incoming, last) if last else None)

    def split(self, reply: Reply) -> Iterable[Reply]:
        """Return what is spoken: texts, the titles of buttons; nothing else can be."""
        if reply.kind == "elements":
            return [part for element in elements_as_buttons(reply) for part in self.split(element)]
        if reply.kind in ("buttons", "quick_replies"):
            spoken = [reply.text or "", *(button.title for button in buttons_of(reply))]
        else:
            spoken = (reply.text or "").strip().split("\n\n") if reply.kind == "text" else []
        return parts(
            reply, ({"kind": "text", "text": t, "content": None} for t in spoken if t.strip())
        )

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        raise RejectedDeliveryError("a call is answered in the HTTP response; it has ended")

    def _cookie(self, request: Request, text: str) -> dict[str, str]:
        """Return the header that has a text kept for this call; one that is too long is not."""
        said = f"{request.form().get('CallSid')}:{text}"
        value = quote(said, safe="", errors="replace")
        kept = f"{COOKIE}={value}" if len(value) <= LONGEST else f"{COOKIE}=; Max-Age=0"
        return {"Set-Cookie": f"{kept}; Path=/webhooks/{self.channel}/; HttpOnly"}

    def _answer(self, texts: Sequence[str], headers: dict[str, str] | None = None) -> HTTPResponse:
        """Say the texts with pauses between them, and listen while the last one is said."""
        response = VoiceResponse()
        for text in texts[:-1]:
            response.say(text, voice=self._voice)
            response.pause(length=1)
        for text in texts[-1:]:
            gather = Gather(
                input="speech",
                action=f"/webhooks/{self.channel}/webhook",
                actionOnEmptyResult=True,
                speechTimeout=self._speech_timeout,
                speechModel=self._speech_model,
                enhanced=self._enhanced,
            )
            gather.say(text, voice=self._voice)
            response.append(gather)
        return text_response(str(response), content_type="text/xml", headers=headers)


def said_last(request: Request) -> str:
    """Return what was said last in the call of a request; '' if that is not known.

    The call is a part of it: Twilio may send it to another one between the same two numbers, and
    all who show no number have one.
    """
    try:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    call, _, text = unquote(cookie.value if cookie else "").partition(":")
    return text if call == request.form().get("CallSid") else ""


def caller_of(form: Mapping[str, str]) -> str:
    """Return whose conversation it is: the caller's, or of one who shows no number the call's."""
    caller = form["From"]
    if caller in WITHHELD or caller.lower() in ("anonymous", "restricted", "unavailable"):
        return form.get("CallSid") or caller
    return caller
