"""`twilio`: SMS, MMS and WhatsApp by Twilio's Programmable Messaging.

Rasa's own channel: rasa/core/channels/twilio.py (3.6). The API:
https://www.twilio.com/docs/messaging/guides/webhook-request, …/messaging/api/message-resource.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sanic.response import HTTPResponse, text as text_response

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.toolkit.replies import calls, parts
from bridge.connectors.twilio.tokens import Signature, expect_form
from bridge.errors import (
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import InboundMessage, Reply

TEXT = 1600
"""Characters of a message."""
KINDS = ("text", "image", "custom")
"""What Twilio has itself; the rest becomes what Rasa makes of it."""
NO_REPLY = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'

LATER = frozenset({14107, 20429, 21611, 63018})
"""Codes that pass by themselves: limits, a number's full queue."""
CLOSED = frozenset({20003, 20005, 20403, 20404, 21603, 21606, 21659, 21660})
"""Codes that every call meets: the account or its token is wrong, the number is not ours."""


class TwilioConnector(Connector):
    name = "twilio"
    verification = Verification("signature")

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        twilio_number: str,
        webhook_url: str | None = None,
        shared_key: str | list[str] | None = None,
        api_url: str = "https://api.twilio.com",
    ) -> None:
        """The keys of Rasa's TwilioInput, and three more.

        `webhook_url`: the URL that Twilio calls, if it cannot be told from the request.
        `shared_key`: the secret of one or several, if Twilio is told to sign with them. `api_url`:
        of another region.

        Raises:
            SettingsError: a key is not what Twilio gives.
        """
        if not re.fullmatch(r"AC\w+", account_sid.strip()):
            raise SettingsError("key 'account_sid': as the console shows it, AC…")
        if not auth_token.strip():
            raise SettingsError("key 'auth_token' is empty: see the console")
        self._signature = Signature(auth_token, webhook_url, shared_key)
        self._auth = account_sid.strip(), auth_token.strip()
        self._number = twilio_number.strip()
        accounts = f"{api_url.rstrip('/')}/2010-04-01/Accounts"
        self._url = f"{accounts}/{account_sid.strip()}/Messages.json"

    def verify(self, request: Request) -> None:
        self._signature.verify(request)

    def parse(self, request: Request) -> list[InboundMessage]:
        form = expect_form(request)
        text = said(form)
        # A callback that tells of a message that was sent says nothing.
        if not text or "MessageStatus" in form:
            return []
        return [
            self.message(
                request,
                id=form.get("MessageSid") or form.get("SmsMessageSid") or None,
                sender_id=form["From"],
                text=text,
                metadata=metadata(form),
            )
        ]

    def acknowledge(self, request: Request) -> HTTPResponse:
        return text_response(NO_REPLY, content_type="text/xml")

    def split(self, reply: Reply) -> Iterable[Reply]:
        if reply.kind == "custom" and isinstance(reply.content, list):
            return parts(reply, ({"content": message} for message in reply.content))
        return calls(reply, KINDS, TEXT)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await http.post_form(
            self._url,
            self._fields(reply),
            basic_auth=self._auth,
            check=raise_for_answer,
        )

    def _fields(self, reply: Reply) -> list[tuple[str, str]]:
        if reply.kind == "custom":
            if not isinstance(reply.content, dict):
                raise RejectedDeliveryError("a custom reply must be an object: a message's fields")
            fields = {_camel(key): value for key, value in reply.content.items()}
        else:
            fields = {"MediaUrl": reply.content} if reply.kind == "image" else {"Body": reply.text}
        fields.setdefault("To", reply.recipient_id)
        if not fields.get("MessagingServiceSid"):
            fields = {**self._sender(str(fields["To"])), **fields}
        return [(key, text) for key, value in fields.items() for text in _texts(value)]

    def _sender(self, to: str) -> dict[str, str]:
        """Return who sends: a number, on the channel of the recipient, or a Messaging Service."""
        if self._number.startswith("MG"):
            return {"MessagingServiceSid": self._number}
        if to.startswith("whatsapp:") and not self._number.startswith("whatsapp:"):
            return {"From": f"whatsapp:{self._number}"}
        return {"From": self._number}


def said(form: Mapping[str, str]) -> str:
    """Return what a message says: a place, a button's payload, its text, else the URL of a file.

    Raises:
        RequestRejected: 400, a place that is none.
    """
    latitude, longitude = form.get("Latitude"), form.get("Longitude")
    if latitude and longitude:
        # Rasa's intent, with its arguments in JSON.
        try:
            place = {"Latitude": float(latitude), "Longitude": float(longitude)}
            return f"/locationData{json.dumps(place, allow_nan=False)}"
        except ValueError as error:
            raise RequestRejected(400, "'Latitude' and 'Longitude' must be numbers") from error
    chosen = form.get("ButtonPayload") or form.get("ListId")
    # Some carriers damage the @ of an SMS; as Rasa.
    text = chosen or form.get("Body", "").replace("¡", "@")
    return text if text.strip() else form.get("MediaUrl0", "")


def metadata(form: Mapping[str, str]) -> dict[str, Any]:
    """Return what custom actions may need; Rasa's own channel gives nothing."""
    count = form.get("NumMedia", "")
    files = [
        {"url": form[f"MediaUrl{n}"], "content_type": form.get(f"MediaContentType{n}")}
        for n in range(min(int(count), 10) if re.fullmatch(r"[0-9]{1,3}", count) else 0)
        if form.get(f"MediaUrl{n}")
    ]
    known: dict[str, Any] = {
        "message_sid": form.get("MessageSid"),
        "to": form.get("To"),
        "profile_name": form.get("ProfileName"),
        "wa_id": form.get("WaId"),
        "title": form.get("ButtonText") or form.get("ListTitle"),
        "address": form.get("Address"),
        "reply_to": form.get("OriginalRepliedMessageSid"),
        "media": files,
    }
    return {key: value for key, value in known.items() if value}


def _camel(key: str) -> str:
    """Return the name of a field: `media_url` and `from_`, as Rasa has them, are MediaUrl, From."""
    return "".join(word[:1].upper() + word[1:] for word in key.split("_"))


def _texts(value: Any) -> list[str]:
    """Return the values of a field; nothing is none."""
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    if value is None or value == "":
        return []
    if isinstance(value, (bool, dict)):
        return [json.dumps(value)]
    return [str(value)]


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the REST API means."""
    try:
        answer = response.json()
    except RetryableDeliveryError:
        answer = None
    ok = 200 <= response.status < 300
    if ok and isinstance(answer, dict):
        return
    if ok:
        raise RetryableDeliveryError("Twilio answered no JSON object")
    code = answer.get("code") if isinstance(answer, dict) else None
    # What it says may quote the text or the number.
    what = f"Twilio: HTTP {response.status}, error {code}"
    if response.status == 401 or code in CLOSED:
        raise ServiceUnavailable(f"{what}: check 'account_sid', 'auth_token' and 'twilio_number'")
    if code in LATER:
        raise RetryableDeliveryError(what, retry_after=parse_retry_after(response.headers))
    if code is not None and 400 <= response.status < 500 and response.status != 429:
        raise RejectedDeliveryError(what)
    raise_for_status(response)
