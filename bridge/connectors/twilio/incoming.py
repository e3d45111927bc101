"""Twilio's message webhook (SMS, MMS, RCS, WhatsApp, Messenger), parsed into messages.

The fields: https://www.twilio.com/docs/messaging/guides/webhook-request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from bridge.connectors.base import Connector
from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.request import FORM, Request
from bridge.connectors.twilio.kinds import OUTCOMES
from bridge.connectors.twilio.outgoing import address_of
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage

RECEIVED = "received"
"""Status of a message from a user."""
INSIDE_WORD = re.compile(r"(?<=\w)¡(?=\w)")
"""A ¡ that is no Spanish punctuation."""


def parse(connector: Connector, request: Request, number: str) -> list[InboundMessage]:
    """Return the message of a request, or [] for status callbacks and empty messages.

    `number` is the sender of replies, unless the user wrote to another address.

    Raises:
        RequestRejected: 400 or 415, it is not a message of Twilio.
    """
    form = form_of(request)
    if form.get("MessageStatus", RECEIVED) not in ("receiving", RECEIVED):
        # It has no sender if a Messaging Service failed before it chose one.
        _count_status(connector, form)
        return []
    expect_sender(form)
    text = text_of(form)
    if not text:
        connector.ignore("empty")
        return []
    return [
        connector.message(
            request,
            id=form.get("MessageSid") or form.get("SmsMessageSid") or None,
            sender_id=form["From"],
            text=text,
            metadata=metadata(form),
            route=route_of(form, number),
        )
    ]


def _count_status(connector: Connector, form: Mapping[str, str]) -> None:
    """Count what became of a sent message."""
    status = form["MessageStatus"]
    outcome = OUTCOMES.get(status)
    if outcome is None:
        connector.ignore(f"status_{status}")
        return
    receipts.count(connector.channel, outcome, form.get("MessageSid"), form.get("ErrorCode"))


def route_of(form: Mapping[str, str], number: str) -> dict[str, str]:
    """Return the address that the user wrote to, unless replies come from there anyway."""
    user, to = form["From"], form.get("To", "")
    same_channel = user.rpartition(":")[0] == to.rpartition(":")[0]
    return {"from": to} if to and same_channel and to != address_of(number, user) else {}


def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a request.

    Raises:
        RequestRejected: 400 or 415, the body is not a form.
    """
    if request.content_type != FORM:
        raise RequestRejected(415, f"send {FORM}")
    return request.form()


def expect_sender(form: Mapping[str, str]) -> None:
    """Raise if a form is not from Twilio.

    Raises:
        RequestRejected: 400.
    """
    if not form.get("From"):
        raise RequestRejected(400, "the form has no 'From'")


def text_of(form: Mapping[str, str]) -> str:
    """Return the location, a button's payload, the text, or the URL of the first file.

    Raises:
        RequestRejected: 400, the location is not valid.
    """
    latitude, longitude = form.get("Latitude"), form.get("Longitude")
    if latitude and longitude:
        # Rasa's intent; its arguments are JSON here.
        try:
            place = {"Latitude": float(latitude), "Longitude": float(longitude)}
            return f"/locationData{json.dumps(place, allow_nan=False)}"
        except ValueError as error:
            raise RequestRejected(400, "'Latitude' and 'Longitude' must be numbers") from error
    chosen = form.get("ButtonPayload") or form.get("ListId") or form.get("InteractiveData")
    body = form.get("Body", "")
    if not any(":" in form.get(side, "") for side in ("From", "To")):
        # Some carriers corrupt the @ of an SMS; Rasa restores it, too. Other channels are UTF-8.
        body = INSIDE_WORD.sub("@", body)
    text = chosen or body
    return text if text.strip() else form.get("MediaUrl0", "")


def metadata(form: Mapping[str, str]) -> dict[str, Any]:
    """Return metadata for custom actions; Rasa's own channel provides none."""
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
        "label": form.get("Label"),
        "reply_to": form.get("OriginalRepliedMessageSid"),
        "forwarded": form.get("Forwarded") == "true" or form.get("FrequentlyForwarded") == "true",
        "referral": {k: v for k, v in form.items() if k.startswith("Referral") and v},
        "opt_out_type": form.get("OptOutType"),
        "channel_metadata": form.get("ChannelMetadata"),
        "media": files,
    }
    return {key: value for key, value in known.items() if value}
