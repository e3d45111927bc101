"""`rocketchat`: outgoing integrations and the omnichannel webhook in, chat.postMessage out.

Rasa's own channel: rasa/core/channels/rocketchat.py (3.6). The API:
https://developer.rocket.chat/apidocs/post-message, https://docs.rocket.chat/docs/integrations and
https://docs.rocket.chat/docs/webhooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.rocketchat.incoming import Posted, said
from bridge.connectors.rocketchat.outgoing import KINDS, TEXT, message_body
from bridge.connectors.toolkit.login import Headers, Login, SessionEnded
from bridge.connectors.toolkit.replies import calls
from bridge.connectors.toolkit.tokens import is_one_of, token_list
from bridge.errors import (
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import InboundMessage, Reply

LIVECHAT_HEADER = "x-rocketchat-livechat-token"


class RocketChatConnector(Connector):
    name = "rocketchat"
    verification = Verification("token", "outgoing_webhook_token")

    def __init__(
        self,
        user: str,
        password: str,
        server_url: str,
        outgoing_webhook_token: str | list[str] | None = None,
    ) -> None:
        """The keys of Rasa's RocketChatInput, and `outgoing_webhook_token`.

        That is the token of an outgoing integration, the omnichannel webhook's secret token, or a
        list of several of them.

        Raises:
            SettingsError: there is no user or no password.
        """
        for key, value in (("user", user), ("password", password)):
            if not value.strip():
                raise SettingsError(f"key '{key}' is empty: the bot's at Rocket.Chat")
        self._user, self._password = user.strip(), password
        self._url = f"{server_url.rstrip('/')}/api/v1"
        self._tokens = token_list(outgoing_webhook_token)
        self._login = Login(self._log_in)

    def verifies(self) -> bool:
        return bool(self._tokens)

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if "@" in self._user:
            missing.append(
                "key 'user' is an address: give the user name, by which the bot's own messages are"
                " known, or it may answer itself"
            )
        return missing

    def verify(self, request: Request) -> None:
        given = request.headers.get(LIVECHAT_HEADER) or self._posted(request).token
        if self._tokens and not is_one_of(given, self._tokens):
            raise RequestRejected(403, "the token is not a configured one")

    def parse(self, request: Request) -> list[InboundMessage]:
        return [
            self.message(
                request,
                id=heard.id,
                sender_id=heard.room,
                text=heard.text,
                metadata=heard.metadata,
                route={"tmid": heard.thread} if heard.thread else {},
            )
            for heard in said(self._posted(request), self._user)
        ]

    def _posted(self, request: Request) -> Posted:
        if request.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        return request.decode(Posted)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, KINDS, TEXT)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        body = message_body(reply)

        async def post(headers: Headers) -> Response:
            return await http.post_json(
                f"{self._url}/chat.postMessage", body, headers=headers, check=raise_for_answer
            )

        await self._login.call(http, post)

    async def _log_in(self, http: HttpClient) -> Headers:
        name = "user" if "@" in self._user else "username"
        body = {name: self._user, "password": self._password}
        try:
            response = await http.post_json(f"{self._url}/login", body, check=raise_for_answer)
        except (RejectedDeliveryError, SessionEnded) as error:
            raise ServiceUnavailable(
                f"login refused ({error}): check 'user', 'password'"
            ) from error
        data = response.json_object().get("data")
        session = data if isinstance(data, dict) else {}
        if not (session.get("authToken") and session.get("userId")):
            raise ServiceUnavailable("Rocket.Chat: login answered no token: check 'server_url'")
        return {
            "X-Auth-Token": str(session["authToken"]),
            "X-User-Id": str(session["userId"]),
        }


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the API means, with the type of its error but not its text."""
    if response.status == 401:
        raise SessionEnded("Rocket.Chat: HTTP 401")
    answer = response.json_object()
    if response.status == 200 and (answer.get("success") or answer.get("status") == "success"):
        return
    kind = str(answer.get("errorType") or "")[:100]
    error = f"Rocket.Chat: HTTP {response.status} {kind}".rstrip()
    if response.status == 429 or kind == "error-too-many-requests":
        wait = re.search(r"wait (\d{1,6}) seconds", str(answer.get("error")))
        seconds = float(wait[1]) if wait else parse_retry_after(response.headers)
        raise RetryableDeliveryError(error, retry_after=seconds)
    if response.status in (200, 400) and answer.get("success") is False:
        raise RejectedDeliveryError(error)
    raise_for_status(response)
    raise RetryableDeliveryError("Rocket.Chat answered neither success nor an error")
