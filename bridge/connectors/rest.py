"""`rest`: a queue-backed replacement for Rasa's RestInput; it answers in the HTTP response.

Rasa's own channel: rasa/core/channels/rest.py (3.6). The response is the same JSON list, or with
`?stream=true` the same JSON lines. Unlike in Rasa, a failed turn is a 500, not an empty list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Collected, Inbox
from bridge.connectors.toolkit.callers import Callers
from bridge.connectors.toolkit.ids import as_id
from bridge.connectors.toolkit.replies import paragraphs, part_of
from bridge.errors import RejectedDeliveryError, RequestRejected, TurnFailed
from bridge.http.direct import direct
from bridge.http.responses import json_response
from bridge.messages import InboundMessage, Reply

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse

    from bridge.http.client import HttpClient


BY_DEFAULT = Connector.response_timeout
"""Stands for `response_timeout`, which a role may change; compared by identity."""


class RestConnector(Connector):
    name = "rest"
    only_webhook = frozenset({"token", "jwt_secret"})
    output_name = "collector"
    synchronous = True
    verification: ClassVar[Verification | None] = Verification("token", "token")

    def __init__(
        self,
        timeout: float = BY_DEFAULT,
        token: str | list[str] | None = None,
        jwt_secret: str | None = None,
        jwt_method: str = "HS256",
    ) -> None:
        """`timeout` is in seconds; a turn that takes longer is answered with 504. By default, it is
        `response_timeout`.

        The other keys authenticate requests; see `Callers`.

        Raises:
            SettingsError: `jwt_method` is not an algorithm.
        """
        self._timeout = timeout
        self._callers = Callers(token, jwt_secret, jwt_method)

    @property
    def timeout(self) -> float:
        """Seconds that a request waits for its turn."""
        return self.response_timeout if self._timeout is BY_DEFAULT else self._timeout

    def verifies(self) -> bool:
        return self._callers.are_known

    def users_choose_ids(self) -> bool:
        return not self.verifies()

    def verify(self, request: Request) -> None:
        self._callers.verify(request)

    def parse(self, request: Request) -> list[InboundMessage]:
        message = parse_rest(self, request)
        self._callers.check_sender(request, message.sender_id)
        return [message]

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        stream = incoming.query.get("stream", "").lower() == "true"
        replies = await self._enqueued(incoming, inbox, stream)
        if not stream:
            return json_response(
                [reply_body(part) async for reply in replies for part in self.split(reply)]
            )
        response = await request.respond(content_type="text/event-stream")
        try:
            async for reply in replies:
                for part in self.split(reply):
                    await response.send(json.dumps(reply_body(part)) + "\n")
        except TurnFailed as error:
            # The status is already sent. Rasa's own channel would hang here.
            await response.send(json.dumps({"error": str(error)}) + "\n")
        await response.eof()
        return None

    async def _enqueued(self, incoming: Request, inbox: Inbox, stream: bool) -> Collected:
        """Enqueue the message. Not in `receive`, which would keep it until the turn has ended."""
        (message,) = self.parse(incoming)
        if stream:
            # The name of Rasa's streaming output channel: responses may have a variant for it.
            message = msgspec.structs.replace(message, output_channel="queue")
        replies = inbox.collect(message, self.timeout)
        await replies.enqueued()
        return replies

    def split(self, reply: Reply) -> Iterable[Reply]:
        return flattened(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        raise RejectedDeliveryError("rest answers in the HTTP response, which is complete")


def flattened(reply: Reply) -> Iterable[Reply]:
    """Return a reply as the parts that Rasa's CollectingOutputChannel would collect.

    Quick replies become buttons, and each element becomes a text with buttons
    (rasa/core/channels/channel.py, OutputChannel.send_quick_replies and send_elements).
    """
    if reply.kind == "quick_replies":
        return [part_of(reply, 0, kind="buttons")]
    if reply.kind == "elements":
        return [
            part_of(
                reply,
                n,
                kind="buttons",
                text=f"{element.get('title', '')} : {element.get('subtitle', '')}",
                content=element.get("buttons", []),
            )
            for n, element in enumerate(reply.content or [])
        ]
    return paragraphs(reply)


def reply_body(reply: Reply) -> dict[str, Any]:
    """Return a reply in Rasa's JSON form: `{"recipient_id", "text"?, <kind>: content}`."""
    body: dict[str, Any] = {"recipient_id": reply.recipient_id}
    if reply.text is not None:
        body["text"] = reply.text
    if reply.kind != "text":
        body[reply.kind] = reply.content
    return body


def parse_rest(
    connector: Connector,
    request: Request,
    *,
    sender_id: str | None = None,
    id: str | None = None,
) -> InboundMessage:
    """Return the message of a `{"sender", "message", "metadata"?, "input_channel"?}` body.

    `sender_id` and `id`, if given, take precedence over the body.

    Raises:
        RequestRejected: 400, a key is missing or of the wrong type.
    """
    body = request.json_object()
    sender, text = sender_id or as_id(body.get("sender")), body.get("message")
    if not sender:
        raise RequestRejected(
            400, "'sender' is missing", fix="send the conversation's id as a string"
        )
    if not isinstance(text, str) or not text.strip():
        raise RequestRejected(400, "'message' is missing", fix="send the user's text as a string")
    given_id, metadata = body.get("message_id"), body.get("metadata")
    input_channel = body.get("input_channel")
    if given_id is not None:
        given_id = as_id(given_id)
        if not given_id:
            raise RequestRejected(400, "'message_id' must be a JSON string")
    if metadata is not None and not isinstance(metadata, dict):
        raise RequestRejected(400, "'metadata' must be a JSON object")
    if input_channel is not None and not isinstance(input_channel, str):
        raise RequestRejected(400, "'input_channel' must be a JSON string")
    return connector.message(
        request,
        sender_id=sender,
        text=text,
        id=id or given_id,
        input_channel=input_channel,
        metadata=metadata,
    )
