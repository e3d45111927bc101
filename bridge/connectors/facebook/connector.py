"""`facebook`: Messenger's webhook in, its Send API out.

Rasa's own channel: rasa/core/channels/facebook.py (3.6). The API:
https://developers.facebook.com/docs/messenger-platform. The access token is a part of every call's
URL, so no URL is ever logged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from sanic import Request as SanicRequest
from sanic.response import HTTPResponse

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.facebook.incoming import Batch, of_batch
from bridge.connectors.facebook.outgoing import body_of, split
from bridge.connectors.meta.graph import GRAPH, proof_of, raise_for_graph
from bridge.connectors.meta.webhook import MetaConnector, expect_json
from bridge.errors import SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply


class FacebookConnector(MetaConnector):
    name = "facebook"
    verification = Verification("signature", "secret")

    def __init__(
        self,
        page_access_token: str,
        verify: str = "",
        secret: str = "",
        api_url: str = GRAPH,
    ) -> None:
        """The keys of Rasa's FacebookInput, and `api_url`: another version of the Graph API."""
        super().__init__(secret, verify)
        token = page_access_token.strip()
        self._params = {"access_token": token, **proof_of(token, self._secret)}
        self._url = f"{api_url.rstrip('/')}/me/messages"

    @classmethod
    def from_credentials(cls, credentials: Mapping[str, Any]) -> Connector:
        # Rasa's name of the key has hyphens.
        given = {
            "page_access_token" if key == "page-access-token" else key: value
            for key, value in credentials.items()
        }
        try:
            return super().from_credentials(given)
        except SettingsError as error:
            text = str(error).replace("page_access_token", "page-access-token")
            raise SettingsError(text) from error

    def parse(self, request: Request) -> list[InboundMessage]:
        expect_json(request)
        return [
            self.message(
                request, id=said.id, sender_id=said.user, text=said.text, metadata=said.metadata
            )
            for said in of_batch(request.decode(Batch))
        ]

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        messages = self.parse(incoming)
        for message in messages:
            await inbox.enqueue(message)
        for user in dict.fromkeys(message.sender_id for message in messages):
            self._shown.show(self.channel, partial(self._read_and_typing, user=user))
        return self.acknowledge(incoming)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await self._call(http, body_of(reply))

    async def _call(self, http: HttpClient, body: dict[str, Any]) -> None:
        check = partial(
            raise_for_graph,
            service="Messenger",
            token_key="page-access-token",  # noqa: S106
            secret_key="secret",  # noqa: S106
        )
        await http.post_json(self._url, body, params=self._params, check=check)

    async def _read_and_typing(self, http: HttpClient, user: str) -> None:
        for action in ("mark_seen", "typing_on"):
            await self._call(http, {"recipient": {"id": user}, "sender_action": action})
