"""`twilio`: SMS, MMS, RCS, WhatsApp and Messenger by Twilio's Programmable Messaging.

Rasa's own channel: rasa/core/channels/twilio.py (3.6). The API:
https://www.twilio.com/docs/messaging/guides/webhook-request, …/messaging/api/message-resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.connectors.twilio.incoming import parse
from bridge.connectors.twilio.kinds import KINDS
from bridge.connectors.twilio.outgoing import deliver, split
from bridge.connectors.twilio.tokens import Signature
from bridge.errors import SettingsError
from bridge.http.client import HttpClient
from bridge.http.responses import text_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic.response import HTTPResponse

NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'


class TwilioConnector(Connector):
    name = "twilio"
    kinds = KINDS
    closed_window = frozenset({"63016"})
    only_webhook = frozenset({"shared_key"})
    max_body = SHORT_BODY
    verification = Verification("signature")

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        twilio_number: str,
        webhook_url: HttpUrl | None = None,
        shared_key: str | list[str] | None = None,
        status_callback: HttpUrl | None = None,
        api_url: HttpUrl = "https://api.twilio.com",
    ) -> None:
        """The keys of Rasa's TwilioInput, and four more.

        `webhook_url` is the URL that Twilio calls, if the request does not show it. `shared_key` is
        the secret of a shared key, or a list, if Twilio signs with those. Twilio posts to
        `status_callback` what becomes of each message. `api_url` is that of another region.

        Raises:
            SettingsError: a key does not have the form that Twilio's console shows.
        """
        if not re.fullmatch(r"AC\w+", account_sid.strip()):
            raise SettingsError(
                "key 'account_sid' is not valid", fix="copy it from Twilio's console: AC…"
            )
        if not auth_token.strip():
            raise SettingsError("key 'auth_token' is empty", fix="copy it from Twilio's console")
        self._signature = Signature(auth_token, webhook_url, shared_key)
        self._auth = account_sid.strip(), auth_token.strip()
        self._number = twilio_number.strip()
        self._status_callback = status_callback
        accounts = f"{api_url.rstrip('/')}/2010-04-01/Accounts"
        self._url = f"{accounts}/{account_sid.strip()}/Messages.json"

    def verify(self, request: Request) -> None:
        self._signature.verify(request)

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._number)

    def acknowledge(self, request: Request) -> HTTPResponse:
        return text_response(NO_REPLY, content_type="text/xml")

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url, self._auth, self._number, self._status_callback)
