"""`webexteams`: webhooks in, whose messages are then fetched; POST /messages out.

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
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.toolkit.events import UNKNOWN
from bridge.connectors.toolkit.fetch import fetch
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.request import SHORT_BODY, expect_json
from bridge.connectors.webexteams.incoming import Bot, Event, Resource, decoded, parse
from bridge.connectors.webexteams.kinds import KINDS
from bridge.connectors.webexteams.outgoing import deliver, raise_for_response, split
from bridge.errors import RequestRejected, SettingsError
from bridge.http.client import HttpClient, Response
from bridge.http.direct import direct
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse

RESOURCES = {"messages": "messages", "attachmentActions": "attachment/actions"}
"""Resource of a webhook → path of the API from which it is fetched."""
MOST_FETCHES = 50
"""Fetches at a time: without 'secret', anyone can cause them."""


class WebexTeamsConnector(Connector):
    name = "webexteams"
    kinds = KINDS
    only_webhook = frozenset({"secret"})
    max_body = SHORT_BODY
    verification = Verification(
        "signature", "secret", "anyone who knows the URL can make the bot read a message"
    )

    def __init__(
        self,
        access_token: str,
        room: str | None = None,
        secret: str | None = None,
        api_url: HttpUrl = "https://webexapis.com/v1",
    ) -> None:
        """The keys of Rasa's WebexTeamsInput (every reply goes to `room`, if set) and two more.

        `secret` is the secret with which the webhook was created; it signs the requests. `api_url`
        is for Webex for Government.

        Raises:
            SettingsError: the token is empty.
        """
        if not access_token.strip():
            raise SettingsError(
                "key 'access_token' is empty", fix="copy the bot's from developer.webex.com"
            )
        self._room = room
        self._secret = secret
        self._url = api_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {access_token.strip()}"}
        self._bot = Bot()
        self._identified = Refreshed(self._identify, lambda: self.now())
        self._fetches = 0

    def verifies(self) -> bool:
        return bool(self._secret)

    def verify(self, request: Request) -> None:
        if not self._secret:
            return
        given = request.headers.get("x-spark-signature", "").lower()
        expected = hmac.new(self._secret.encode(), request.body, hashlib.sha1).hexdigest()
        if not hmac.compare_digest(given.encode(errors="replace"), expected.encode()):
            raise RequestRejected(403, "no valid X-Spark-Signature")

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        """Fetch the resource that the webhook names, and parse it in place of the webhook."""
        expect_json(incoming)
        event = incoming.decode(Event)
        where = RESOURCES.get(event.resource or "")
        if where is None or event.event != "created":
            self.ignore((event.event if where else event.resource) or UNKNOWN)
            return self.acknowledge(incoming)
        if event.data is None or not re.fullmatch(r"[A-Za-z0-9_=-]+", event.data.id or ""):
            raise RequestRejected(400, "'data.id' is not a Webex id")
        # Checked before the fetch: half of all messages are the bot's own.
        if event.data.personId == await self._me():
            self.ignore("own_message")
            return self.acknowledge(incoming)
        found = await self._fetch(f"{where}/{event.data.id}")
        if found.status == 404:
            # Deleted in the meantime, or not visible to the bot.
            self.ignore("not_found")
            return self.acknowledge(incoming)
        # An unexpected response is not the webhook's fault: a 503 here, where parse raises a 400.
        decoded(found, Resource)
        return await super().receive(request, dataclasses.replace(incoming, body=found.body), inbox)

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._bot)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url, self._headers, self._room)

    async def _me(self) -> str:
        """Return the bot's person id; fetched once."""
        await self._identified.refresh(lambda: self._bot.id is None)
        return self._bot.id or ""

    async def _identify(self) -> None:
        answer = await self._fetch("people/me")
        bot = decoded(answer, Bot) if answer.status == 200 else Bot()
        if not bot.id:
            raise RequestRejected(503, "/people/me has no id", fix="check 'api_url'")
        self._bot = bot

    async def _fetch(self, path: str) -> Response:
        """GET a path; a 404 is returned, not raised."""

        def check(response: Response) -> None:
            if response.status != 404:
                raise_for_response(response)

        if self._fetches >= MOST_FETCHES:
            raise RequestRejected(503, "too many requests at once", fix="send it again later")
        self._fetches += 1
        try:
            return await fetch(f"{self._url}/{path}", headers=self._headers, check=check)
        finally:
            self._fetches -= 1
