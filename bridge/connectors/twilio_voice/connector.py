"""`twilio_voice`: phone calls. The response to each request is TwiML with the assistant's replies.

Rasa's own channel: rasa/core/channels/twilio_voice.py (3.6). The API:
https://www.twilio.com/docs/voice/twiml/gather.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.toolkit.basic_auth import BasicAuth
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.connectors.toolkit.tokens import token_list
from bridge.connectors.twilio.tokens import Signature
from bridge.connectors.twilio_voice.incoming import last_reply, parse
from bridge.connectors.twilio_voice.kinds import KINDS
from bridge.connectors.twilio_voice.outgoing import Voice, respond, split
from bridge.errors import RejectedDeliveryError, SettingsError, TurnFailed
from bridge.http.client import HttpClient
from bridge.http.direct import direct
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse

log = logging.getLogger(__name__)


class TwilioVoiceConnector(Connector):
    name = "twilio_voice"
    only_webhook = frozenset({"auth_token", "shared_key", "password"})
    max_body = SHORT_BODY
    synchronous = True
    verification = Verification(
        "signature", "auth_token", "anyone who knows the URL can speak as any caller"
    )
    kinds = KINDS

    def __init__(
        self,
        initial_prompt: str = "hello",
        reprompt_fallback_phrase: str = "I'm sorry I didn't get that could you rephrase.",
        assistant_voice: str = "woman",
        speech_timeout: int | str = "5",
        speech_model: str = "default",
        enhanced: bool | str = "false",
        auth_token: str = "",
        webhook_url: HttpUrl | None = None,
        shared_key: str | list[str] | None = None,
        timeout: float = 14.0,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """The keys of Rasa's TwilioVoiceInput (3.6 and rasa-pro), and four more.

        `auth_token`, `webhook_url` and `shared_key` are those of the channel `twilio`. `timeout` is
        the time limit of a turn in seconds; Twilio waits 15.

        Raises:
            SettingsError: Twilio does not accept this combination of keys; Rasa checks the same.
        """
        self._initial_prompt = initial_prompt
        self._fallback = reprompt_fallback_phrase
        self._voice = Voice(
            assistant_voice, str(speech_timeout), speech_model, str(enhanced).lower()
        )
        checks = auth_token.strip() or token_list(shared_key)
        self._signature = Signature(auth_token, webhook_url, shared_key) if checks else None
        self._basic = BasicAuth(username, password, "twilio_voice")
        self._timeout = timeout
        _check(self._voice)

    def verifies(self) -> bool:
        return self._signature is not None or self._basic.is_on

    def verify(self, request: Request) -> None:
        self._basic.verify(request)
        if self._signature:
            self._signature.verify(request)

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._initial_prompt)

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        messages = self.parse(incoming)
        if not messages:
            return respond([last_reply(incoming) or self._fallback], self._voice, self.channel)
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
            # Any other response ends the call.
            log.warning("the caller hears the fallback phrase: %s", error)
            texts.append(self._fallback)
        call = incoming.form().get("CallSid")
        return respond(texts, self._voice, self.channel, call, last)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        raise RejectedDeliveryError("twilio_voice answers in the HTTP response, which is complete")


def _check(voice: Voice) -> None:
    auto = voice.speech_timeout.lower() == "auto"
    if not auto and not voice.speech_timeout.isdecimal():
        raise SettingsError("key 'speech_timeout' must be a whole number of seconds, or 'auto'")
    if auto and voice.speech_model in ("default", "phone_call"):
        raise SettingsError("key 'speech_timeout': 'auto' needs another 'speech_model'")
    if voice.enhanced not in ("true", "false"):
        raise SettingsError("key 'enhanced' must be true or false")
    if voice.enhanced == "true" and voice.speech_model != "phone_call":
        raise SettingsError("key 'enhanced': true needs 'speech_model: phone_call'")
