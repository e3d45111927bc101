"""`hangouts`: Google Chat. The HTTP response to an event carries the reply.

Rasa's own channel: rasa/core/channels/hangouts.py (3.6). The API:
https://developers.google.com/workspace/chat/receive-respond-interactions and
…/chat/verify-requests-from-chat; of Workspace add-ons: …/add-ons/chat/build.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.hangouts.events import is_of_add_on
from bridge.connectors.hangouts.incoming import parse
from bridge.connectors.hangouts.kinds import KINDS
from bridge.connectors.hangouts.outgoing import respond, split
from bridge.connectors.hangouts.tokens import GoogleTokens
from bridge.connectors.interfaces import Inbox
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.connectors.toolkit.tokens import bearer_token
from bridge.errors import RejectedDeliveryError, SettingsError
from bridge.http.client import HttpClient
from bridge.http.direct import direct
from bridge.http.responses import json_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse


class HangoutsConnector(Connector):
    name = "hangouts"
    kinds = KINDS
    only_webhook = frozenset({"project_id"})
    max_body = SHORT_BODY
    verification = Verification("Google's token", "project_id")
    synchronous = True

    def __init__(
        self,
        project_id: str | None = None,
        sender_id: Literal["displayName", "name"] = "displayName",
        timeout: float = 25.0,
        webhook_url: HttpUrl | None = None,
        certs_url: HttpUrl | None = None,
    ) -> None:
        """The key of Rasa's HangoutsInput, `project_id` (the project's number), and four more.

        `sender_id` identifies a conversation by the user's display name, as in Rasa, or by the
        user's resource name, which is unique. `timeout` is the time limit of a turn in seconds;
        Google waits 30. `webhook_url` is the app's HTTP endpoint URL, if its Authentication
        Audience is that URL. `certs_url` is the URL of Google's certificates.

        Raises:
            SettingsError: `project_id` is missing beside `webhook_url`.
        """
        if webhook_url and not (project_id and project_id.strip()):
            raise SettingsError("key 'project_id' is missing", fix="'webhook_url' requires it")
        self._webhook_url = webhook_url
        self._sender_id = sender_id
        self._timeout = timeout
        self._tokens: GoogleTokens | None = None
        if project_id and project_id.strip():
            self._tokens = GoogleTokens(
                project_id.strip(), lambda: self.now(), webhook_url, certs_url
            )

    def verifies(self) -> bool:
        return self._tokens is not None

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if self._sender_id == "displayName":
            missing.append(
                "key 'sender_id' is displayName, as in Rasa: users with the same name share a"
                " conversation; 'name' keeps them apart"
            )
        return missing

    async def prepare(self, request: Request) -> None:
        if self._tokens is not None:
            await self._tokens.refresh(bearer_token(request))

    def verify(self, request: Request) -> None:
        if self._tokens is not None:
            self._tokens.check(bearer_token(request))

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._sender_id)

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        collected = []
        turns = [inbox.collect(message, self._timeout) for message in self.parse(incoming)]
        for replies in turns:
            await replies.enqueued()
        for replies in turns:
            collected += [reply async for reply in replies]
        add_on = self._webhook_url or incoming.url if is_of_add_on(incoming) else None
        return json_response(respond(collected, add_on))

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        raise RejectedDeliveryError("hangouts answers in the HTTP response, which is complete")
