"""`callback`: the format of Rasa's CallbackInput, in both directions.

In: POST {"sender", "message", "metadata"?, "message_id"?}. Out: one POST to `url` per reply.
Rasa's own channel: rasa/core/channels/callback.py (3.6).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.rest import parse_rest, reply_body
from bridge.connectors.toolkit.callers import Callers
from bridge.connectors.toolkit.replies import idempotency_key
from bridge.errors import ServiceUnavailable
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl


class CallbackConnector(Connector):
    name = "callback"
    file_keys = frozenset()  # its clients choose the metadata
    only_webhook = frozenset({"incoming_token", "jwt_secret"})
    only_deliver = frozenset({"url", "headers", "params", "basic_auth", "token"})
    verification = Verification("token", "incoming_token")

    def __init__(
        self,
        url: HttpUrl,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        basic_auth: dict[str, str] | None = None,
        token: str | None = None,
        token_name: str = "token",  # noqa: S107
        incoming_token: str | list[str] | None = None,
        jwt_secret: str | None = None,
        jwt_method: str = "HS256",
    ) -> None:
        """Each reply is one POST to `url`. The other keys of Rasa's EndpointConfig: `basic_auth`
        has `username` and `password`; `token` is sent as the query parameter `token_name`.

        The last three authenticate requests; see `Callers`.

        Raises:
            SettingsError: `jwt_method` is not an algorithm.
        """
        self._callers = Callers(incoming_token, jwt_secret, jwt_method)
        self.url = url
        self.params = {**(params or {}), **({token_name: token} if token else {})}
        self.headers = headers or {}
        self.basic_auth = (basic_auth["username"], basic_auth["password"]) if basic_auth else None

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

    def deliver(self, reply: Reply, http: HttpClient) -> Coroutine[Any, Any, Any]:
        headers = {**self.headers, "Idempotency-Key": idempotency_key(reply)}
        if reply.redelivered:
            headers["X-Redelivered"] = "true"
        return http.post_json(
            self.url,
            reply_body(reply),
            headers=headers,
            params=self.params,
            basic_auth=self.basic_auth,
            check=raise_for_response,
        )


def raise_for_response(response: Response) -> None:
    """Raise the error for a response; 401 concerns every call: they all authenticate alike."""
    if response.status == 401:
        raise ServiceUnavailable("HTTP 401", fix="check 'headers', 'basic_auth' and 'token'")
    raise_for_status(response)
