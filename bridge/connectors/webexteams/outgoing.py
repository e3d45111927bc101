"""Sends replies with POST /messages.

The fields and limits: https://developer.webex.com/docs/api/v1/messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.connectors.toolkit.replies import calls
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import Reply

TEXT = 7439
"""Bytes of a message."""
KINDS = ("text", "image", "custom")
"""Kinds that Webex supports; the others are replaced as in Rasa."""


async def deliver(
    reply: Reply, http: HttpClient, url: str, headers: Mapping[str, str], room: str | None
) -> None:
    """POST one part of a reply; raises as `Connector.deliver`.

    `room` replaces the recipient.
    """
    body = message_body(reply, room)
    await http.post_json(f"{url}/messages", body, headers=headers, check=raise_for_response)


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call."""
    return calls(reply, KINDS, TEXT, lambda text: len(text.encode(errors="replace")))


def message_body(reply: Reply, room: str | None) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError("a custom reply must be an object: a message")
        body = {"roomId": reply.recipient_id, **reply.content}
        return {key: value for key, value in body.items() if value is not None}
    own = {"files": [reply.content]} if reply.kind == "image" else {"text": reply.text}
    body = {"roomId": room or reply.recipient_id, **own}
    if not room and reply.route.get("parentId"):
        body["parentId"] = reply.route["parentId"]
    return body


def raise_for_response(response: Response) -> None:
    """Raise the error for a response of the API; it names the tracking id but not the text.

    Webex limits the calls per access token, which the whole channel shares
    (https://developer.webex.com/docs/basics). A lock (423) concerns one room.
    """
    if response.status == 401:
        raise ServiceUnavailable("Webex: HTTP 401", fix="check 'access_token'")
    if response.status == 423:
        seconds = parse_retry_after(response.headers)
        raise RetryableDeliveryError("Webex: HTTP 423 (locked)", retry_after=seconds)
    try:
        raise_for_status(response, "channel")
    except RejectedDeliveryError as error:
        headers = {name.lower(): value for name, value in response.headers.items()}
        tracking = headers.get("trackingid", "none")[:80]
        raise RejectedDeliveryError(f"Webex: {error.problem} (tracking id {tracking})") from error
