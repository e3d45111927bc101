"""Sends replies with Twilio's message resource.

The fields: https://www.twilio.com/docs/messaging/api/message-resource; the error codes:
https://www.twilio.com/docs/api/errors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bridge.connectors.toolkit import receipts
from bridge.connectors.toolkit.replies import calls, parts
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import Reply

TEXT = 1600
"""Characters of a message."""
KINDS = ("text", "image", "custom")
"""Kinds that Twilio supports; the others are replaced as in Rasa."""

RETRYABLE = frozenset({14107, 20429, 21611, 63018})
"""Temporary errors: rate limits of the account or the sender, and the full queue of a number. All
of them concern every call of the channel."""
UNAVAILABLE = frozenset({20003, 20005, 20403, 20404, 21603, 21606, 21659, 21660})
"""Errors of every call: wrong account or token, or a number that is not the account's."""


async def deliver(
    reply: Reply,
    http: HttpClient,
    url: str,
    auth: tuple[str, str],
    number: str,
    status_callback: str | None = None,
) -> None:
    """POST one part of a reply, from `number`; raises as `Connector.deliver`.

    `auth` is the account SID and the auth token. Twilio posts receipts to `status_callback`.
    """
    fields = _fields(reply, number)
    if status_callback and not any(key == "StatusCallback" for key, _ in fields):
        fields.append(("StatusCallback", status_callback))
    response = await http.post_form(url, fields, basic_auth=auth, check=raise_for_response)
    receipts.accepted(response, "sid")


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call; a list in custom JSON is several messages."""
    if reply.kind == "custom" and isinstance(reply.content, list):
        return parts(reply, ({"content": message} for message in reply.content))
    return calls(reply, KINDS, TEXT)


def _fields(reply: Reply, number: str) -> list[tuple[str, str]]:
    """Return the form fields of a message.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: the fields of a message")
        fields = {_camel(key): value for key, value in reply.content.items()}
    else:
        fields = {"MediaUrl": reply.content} if reply.kind == "image" else {"Body": reply.text}
    fields.setdefault("To", reply.recipient_id)
    if not fields.get("MessagingServiceSid"):
        fields = {**_sender(number, reply.route.get("from"), str(fields["To"])), **fields}
    return [(key, text) for key, value in fields.items() for text in _texts(value)]


def _sender(number: str, written_to: str | None, to: str) -> dict[str, str]:
    """Return the sender: a Messaging Service, or else the address that the user wrote to."""
    if number.startswith("MG"):
        return {"MessagingServiceSid": number}
    return {"From": written_to or address_of(number, to)}


def address_of(number: str, to: str) -> str:
    """Return a number as an address on the recipient's channel."""
    if to.startswith("whatsapp:") and not number.startswith("whatsapp:"):
        return f"whatsapp:{number}"
    return number


def _camel(key: str) -> str:
    """Return the field's name at Twilio: MediaUrl for Rasa's `media_url`, From for `from_`."""
    return "".join(word[:1].upper() + word[1:] for word in key.split("_"))


def _texts(value: Any) -> list[str]:
    """Return the values of a field as text; an empty value results in []."""
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    if value is None or value == "":
        return []
    if isinstance(value, (bool, dict)):
        return [json.dumps(value)]
    return [str(value)]


def raise_for_response(response: Response) -> None:
    """Raise the error for a response of the REST API."""
    try:
        answer = response.json()
    except RetryableDeliveryError:
        answer = None
    ok = 200 <= response.status < 300
    if ok and isinstance(answer, dict):
        return
    if ok:
        raise RetryableDeliveryError("Twilio: the response is not a JSON object")
    code = answer.get("code") if isinstance(answer, dict) else None
    # The error's message is left out: it may quote the text or the number.
    what = f"Twilio: HTTP {response.status}, error {code}"
    if response.status == 401 or code in UNAVAILABLE:
        raise ServiceUnavailable(what, fix="check 'account_sid', 'auth_token' and 'twilio_number'")
    if code in RETRYABLE:
        wait = parse_retry_after(response.headers)
        raise RetryableDeliveryError(what, retry_after=wait, scope="channel")
    if code is not None and 400 <= response.status < 500 and response.status != 429:
        raise RejectedDeliveryError(what, code=code)
    raise_for_status(response, "channel")
