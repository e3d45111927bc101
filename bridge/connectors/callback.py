"""`callback`: the format of Rasa's CallbackInput, in both directions.

In: POST {"sender", "message", "metadata"?, "message_id"?}. Out: one POST to `url` per reply.
Rasa's own channel: rasa/core/channels/callback.py (3.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request
from bridge.connectors.rest import parse_rest, reply_body
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.messages import InboundMessage, Reply

if TYPE_CHECKING:
    from bridge.http.client import HttpClient


class CallbackConnector(Connector):
    name = "callback"

    def __init__(
        self,
        url: str,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        basic_auth: dict[str, str] | None = None,
        token: str | None = None,
        token_name: str = "token",  # noqa: S107
    ) -> None:
        """Each reply is one POST to `url`. The other keys are those of Rasa's EndpointConfig:
        `basic_auth` has `username` and `password`; `token` is sent as the query parameter
        `token_name`.
        """
        self.url = url
        self.params = {**(params or {}), **({token_name: token} if token else {})}
        self.headers = headers or {}
        self.basic_auth = (basic_auth["username"], basic_auth["password"]) if basic_auth else None

    def parse(self, request: Request) -> list[InboundMessage]:
        return [parse_rest(self, request)]

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        headers = {**self.headers, "Idempotency-Key": idempotency_key(reply)}
        if reply.redelivered:
            headers["X-Redelivered"] = "true"
        await http.post_json(
            self.url,
            reply_body(reply),
            headers=headers,
            params=self.params,
            basic_auth=self.basic_auth,
        )
