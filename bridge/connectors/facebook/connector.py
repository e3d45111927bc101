"""`facebook`: Messenger's webhook in, its Send API out.

Rasa's own channel: rasa/core/channels/facebook.py (3.6). The API:
https://developers.facebook.com/docs/messenger-platform. The access token is part of the URL of
every call, so URLs are never logged.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from bridge.connectors.base import Request, Verification
from bridge.connectors.facebook.incoming import parse
from bridge.connectors.facebook.kinds import KINDS
from bridge.connectors.facebook.outgoing import deliver, show_read_and_typing, split
from bridge.connectors.interfaces import Inbox
from bridge.connectors.meta.graph import GRAPH, proof_of
from bridge.connectors.meta.webhook import MetaConnector
from bridge.http.client import HttpClient
from bridge.http.direct import direct
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse


class FacebookConnector(MetaConnector):
    name = "facebook"
    key_of = {"page_access_token": "page-access-token"}  # noqa: RUF012 - never changed
    only_webhook = frozenset({"verify"})
    only_deliver = frozenset({"page-access-token"})
    verification = Verification("signature", "secret")
    kinds = KINDS
    watermarks = True

    def __init__(
        self,
        page_access_token: str,
        verify: str = "",
        secret: str = "",
        api_url: HttpUrl = GRAPH,
    ) -> None:
        """The keys of Rasa's FacebookInput, and `api_url`, for another version of the Graph API."""
        super().__init__(secret, verify)
        token = page_access_token.strip()
        self._params = {"access_token": token, **proof_of(token, self._secret)}
        self._url = f"{api_url.rstrip('/')}/me/messages"

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request)

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        messages = self.parse(incoming)
        for message in messages:
            await inbox.enqueue(message)
        for user in dict.fromkeys(message.sender_id for message in messages):
            show = partial(show_read_and_typing, url=self._url, params=self._params, user=user)
            self._indicators.show(self.channel, show)
        return self.acknowledge(incoming)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url, self._params)
