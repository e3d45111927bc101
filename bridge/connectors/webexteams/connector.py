"""`webexteams`: webhooks in, whose messages are fetched; POST /messages out.

Rasa's own channel: rasa/core/channels/webexteams.py (3.6). The API:
https://developer.webex.com/docs/receive-and-verify-webhooks, …/docs/api/v1/messages and
…/docs/buttons-and-cards.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import Struct
from sanic import Request as SanicRequest
from sanic.response import HTTPResponse

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.toolkit.fetch import fetch
from bridge.connectors.toolkit.replies import calls
from bridge.connectors.toolkit.request import decode_json
from bridge.errors import (
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import InboundMessage, Reply

TEXT = 7439
"""Bytes of a message."""
KINDS = ("text", "image", "custom")
"""What Webex has itself; the rest becomes what Rasa makes of it."""
RESOURCES = {"messages": "messages", "attachmentActions": "attachment/actions"}
"""What a webhook tells of, and where it is."""


T = TypeVar("T")


class Data(Struct):
    id: str | None = None
    personId: str | None = None


class Event(Struct):
    """A webhook: it says that there is something, and not what."""

    resource: str | None = None
    event: str | None = None
    data: Data | None = None


class Fetched(Struct):
    """A message, or what a card's button submits (`inputs`)."""

    id: str
    roomId: str
    personId: str | None = None
    personEmail: str | None = None
    roomType: str | None = None
    parentId: str | None = None
    messageId: str | None = None
    text: str | None = None
    files: list[str] | None = None
    inputs: dict[str, Any] | None = None


class WebexTeamsConnector(Connector):
    name = "webexteams"
    verification = Verification(
        "signature", "secret", "whoever knows the URL can make the bot read a message"
    )

    def __init__(
        self,
        access_token: str,
        room: str | None = None,
        secret: str | None = None,
        api_url: str = "https://webexapis.com/v1",
    ) -> None:
        """The keys of Rasa's WebexTeamsInput (`room`: where every answer goes) and two more.

        `secret`: what the webhook was made with, and signs with. `api_url`: Webex for Government
        has another.

        Raises:
            SettingsError: the token is empty.
        """
        if not access_token.strip():
            raise SettingsError("key 'access_token' is empty: the bot's at developer.webex.com")
        self._room = room
        self._secret = secret
        self._url = api_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {access_token.strip()}"}
        self._own_id: str | None = None

    def verifies(self) -> bool:
        return bool(self._secret)

    def verify(self, request: Request) -> None:
        if not self._secret:
            return
        given = request.headers.get("x-spark-signature", "").lower()
        expected = hmac.new(self._secret.encode(), request.body, hashlib.sha1).hexdigest()
        if not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
            raise RequestRejected(403, "no valid X-Spark-Signature")

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        """Fetch what the webhook tells of; it is parsed in place of the webhook."""
        if incoming.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        event = incoming.decode(Event)
        where = RESOURCES.get(event.resource or "")
        if where is None or event.event != "created":
            return self.acknowledge(incoming)
        if event.data is None or not re.fullmatch(r"[A-Za-z0-9_=-]+", event.data.id or ""):
            raise RequestRejected(400, "'data.id' is no id of Webex")
        # Before anything is fetched: half of all messages are the bot's own.
        if event.data.personId == await self._me():
            return self.acknowledge(incoming)
        found = await self._fetch(f"{where}/{event.data.id}")
        if found.status == 404:
            # Deleted since, or none of ours.
            return self.acknowledge(incoming)
        # What Webex answers in another shape is not the webhook's fault.
        _decoded(found, Fetched)
        return await super().receive(request, dataclasses.replace(incoming, body=found.body), inbox)

    def parse(self, request: Request) -> list[InboundMessage]:
        found = request.decode(Fetched)
        text = found.text if found.inputs is None else found.inputs.get("payload")
        if not isinstance(text, str) or not text.strip() or found.personId == self._own_id:
            return []
        metadata = {
            "person_id": found.personId,
            "person_email": found.personEmail,
            "room_type": found.roomType,
            "message_id": found.messageId or found.id,
            "parent_id": found.parentId,
            "files": found.files,
            "inputs": found.inputs,
        }
        return [
            self.message(
                request,
                id=found.id,
                sender_id=found.roomId,
                text=text,
                metadata={key: value for key, value in metadata.items() if value},
                route={"parentId": found.parentId} if found.parentId else {},
            )
        ]

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, KINDS, TEXT, lambda text: len(text.encode(errors="replace")))

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        url = f"{self._url}/messages"
        await http.post_json(url, self._body(reply), headers=self._headers, check=raise_for_answer)

    def _body(self, reply: Reply) -> dict[str, Any]:
        if reply.kind == "custom":
            if not isinstance(reply.content, dict):
                raise RejectedDeliveryError("a custom reply must be an object: a message's")
            body = {"roomId": reply.recipient_id, **reply.content}
            return {key: value for key, value in body.items() if value is not None}
        own = {"files": [reply.content]} if reply.kind == "image" else {"text": reply.text}
        body = {"roomId": self._room or reply.recipient_id, **own}
        if not self._room and reply.route.get("parentId"):
            body["parentId"] = reply.route["parentId"]
        return body

    async def _me(self) -> str:
        """Return the bot's person id, asked once."""
        if self._own_id is None:
            answer = await self._fetch("people/me")
            id = _decoded(answer, Data).id if answer.status == 200 else None
            if not id:
                raise RequestRejected(503, "/people/me does not say who the bot is: 'api_url'?")
            self._own_id = id
        return self._own_id

    async def _fetch(self, path: str) -> Response:
        """GET what is at a path; it may be 404."""

        def check(response: Response) -> None:
            if response.status != 404:
                raise_for_answer(response)

        return await fetch(f"{self._url}/{path}", headers=self._headers, check=check)


def _decoded(response: Response, shape: type[T]) -> T:
    """Return an answer of Webex as a struct.

    Raises:
        RequestRejected: 503, it has another shape.
    """
    try:
        return decode_json(response.body, shape)
    except RequestRejected as error:
        raise RequestRejected(503, f"not accepted, send it again: Webex: {error}") from error


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the API means, with its tracking id but not its text."""
    if response.status == 401:
        raise ServiceUnavailable("Webex: HTTP 401: check 'access_token'")
    if response.status == 423:
        seconds = parse_retry_after(response.headers)
        raise RetryableDeliveryError("Webex: HTTP 423, locked for now", retry_after=seconds)
    try:
        raise_for_status(response)
    except RejectedDeliveryError as error:
        headers = {name.lower(): value for name, value in response.headers.items()}
        tracking = headers.get("trackingid", "none")[:80]
        raise RejectedDeliveryError(f"Webex: {error} (tracking id {tracking})") from error
