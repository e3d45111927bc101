"""`hangouts`: Google Chat. It answers an event in the HTTP response.

Rasa's own channel: rasa/core/channels/hangouts.py (3.6). The API:
https://developers.google.com/workspace/chat/receive-respond-interactions and
…/chat/verify-requests-from-chat.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal

from sanic import Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.hangouts.incoming import Event, id_of, metadata_of, text_of
from bridge.connectors.hangouts.outgoing import Message, flattened, joined, message_of
from bridge.connectors.hangouts.tokens import GoogleTokens
from bridge.connectors.toolkit.replies import MALFORMED
from bridge.errors import RejectedDeliveryError, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply

log = logging.getLogger(__name__)


class HangoutsConnector(Connector):
    name = "hangouts"
    verification = Verification("Google's token", "project_id")
    synchronous = True

    def __init__(
        self,
        project_id: str | None = None,
        sender_id: Literal["displayName", "name"] = "displayName",
        timeout: float = 25.0,
        webhook_url: str | None = None,
        certs_url: str | None = None,
    ) -> None:
        """The key of Rasa's HangoutsInput, `project_id` (the project's number), and four more.

        `sender_id`: whose conversation it is, by the user's display name, as Rasa, or by the
        user's name, which nobody else has. `timeout`: seconds to wait for a turn; Google waits 30.
        `webhook_url`: the app's HTTP endpoint URL, if that is its Authentication Audience.
        `certs_url`: where Google's certificates are.

        Raises:
            SettingsError: the URL is none, or is there without the project.
        """
        if webhook_url is not None and not webhook_url.startswith(("http://", "https://")):
            raise SettingsError("key 'webhook_url': the complete URL that Google calls, https://…")
        if webhook_url and not (project_id and project_id.strip()):
            raise SettingsError("key 'project_id' is missing: 'webhook_url' goes with it")
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
                "key 'sender_id' is displayName, as in Rasa: users of the same name share a"
                " conversation; 'name' keeps them apart"
            )
        return missing

    async def prepare(self, request: Request) -> None:
        if self._tokens is not None:
            await self._tokens.refresh(_bearer(request))

    def verify(self, request: Request) -> None:
        if self._tokens is not None:
            self._tokens.check(_bearer(request))

    def parse(self, request: Request) -> list[InboundMessage]:
        if request.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        event = request.decode(Event)
        text = text_of(event)
        if text is None or not text.strip():
            return []
        user = event.sender
        sender = user and (user.name if self._sender_id == "name" else user.displayName)
        if not sender:
            raise RequestRejected(400, f"the user has no '{self._sender_id}'")
        return [
            self.message(
                request,
                id=id_of(event),
                sender_id=sender,
                text=text,
                metadata=metadata_of(event),
            )
        ]

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        answer: Message = {}
        for message in self.parse(incoming):
            replies = inbox.collect(message, self._timeout)
            await replies.enqueued()
            async for reply in replies:
                answer = joined(answer, self._message(reply))
        return json_response(answer)

    def _message(self, reply: Reply) -> Message:
        """Return a reply as a message; one of which none can be made is left out, and logged."""
        message: Message = {}
        try:
            for part in self.split(reply):
                message = joined(message, message_of(part))
        except (RejectedDeliveryError, *MALFORMED) as error:
            log.warning("reply %s left out: %s", reply.id, type(error).__name__)
        return message

    def split(self, reply: Reply) -> Iterable[Reply]:
        return flattened(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        raise RejectedDeliveryError("hangouts answers in the HTTP response; nobody waits for it")


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
