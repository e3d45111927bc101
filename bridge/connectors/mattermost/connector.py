"""`mattermost`: outgoing webhooks, buttons and slash commands in, posts out.

Rasa's own channel: rasa/core/channels/mattermost.py (3.6). The API: https://developers.mattermost.com,
integrate/webhooks/outgoing, integrate/plugins/interactive-messages, integrate/slash-commands/custom
and api-documentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sanic import Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.mattermost.incoming import Posted, posted, said
from bridge.connectors.mattermost.outgoing import KINDS, TEXT, post_body, signature
from bridge.connectors.toolkit.login import Headers, Login, SessionEnded
from bridge.connectors.toolkit.replies import calls
from bridge.connectors.toolkit.tokens import is_one_of, token_list
from bridge.errors import (
    DeliveryError,
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, raise_for_status
from bridge.messages import InboundMessage, Reply


class MattermostConnector(Connector):
    name = "mattermost"
    verification = Verification("token", "outgoing_webhook_token")

    def __init__(
        self,
        url: str,
        token: str | None = None,
        webhook_url: str | None = None,
        user: str | None = None,
        pw: str | None = None,
        outgoing_webhook_token: str | list[str] | None = None,
    ) -> None:
        """The keys of Rasa's MattermostInput, those of older ones (`user`, `pw`), and one more.

        `url`: of the API, with /api/v4. `webhook_url`: where buttons post to. A bot has a
        `token`, or logs in. `outgoing_webhook_token`: one, or those of several outgoing webhooks
        and slash commands.

        Raises:
            SettingsError: there is neither a token nor a user with a password.
        """
        if not (token and token.strip()) and not (user and pw):
            raise SettingsError("key 'token' is missing: the bot's, or 'user' and 'pw'")
        self._url = url.rstrip("/")
        self._token = (token or "").strip()
        self._user, self._pw = user, pw
        self._webhook_url = webhook_url
        self._tokens = token_list(outgoing_webhook_token)
        self._login = Login(self._log_in, renews=not self._token)
        self._own_id: str | None = None

    def verifies(self) -> bool:
        return bool(self._tokens)

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if not self._webhook_url:
            missing.append("key 'webhook_url' is missing: buttons are sent as text")
        return missing

    def verify(self, request: Request) -> None:
        given = posted(request)
        if not self._tokens:
            return
        if given.of_button:
            assert given.context is not None
            known = [signature(token, given.context.action) for token in self._tokens]
            if not is_one_of(given.context.token, known):
                raise RequestRejected(403, "the button has no valid signature")
        elif not is_one_of(given.token, self._tokens):
            raise RequestRejected(403, "the token is not a configured one")

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        # A webhook without trigger words gets the bot's own posts, too: it would answer itself.
        given = posted(incoming)
        if given.trigger_word == "" and given.user_id == await self._me():
            return self.acknowledge(incoming)
        return await super().receive(request, incoming, inbox)

    def parse(self, request: Request) -> list[InboundMessage]:
        given: Posted = posted(request)
        heard = said(given)
        if heard is None:
            return []
        route = {"channel_id": heard.channel, "root_id": given.root_id}
        return [
            self.message(
                request,
                id=heard.id,
                sender_id=heard.user,
                text=heard.text,
                metadata=heard.metadata,
                route={key: value for key, value in route.items() if value},
            )
        ]

    def acknowledge(self, request: Request) -> HTTPResponse:
        # Mattermost reads an answer that is not empty as JSON, and would show a text in it.
        return json_response({})

    def split(self, reply: Reply) -> Iterable[Reply]:
        kinds = KINDS if self._webhook_url else [kind for kind in KINDS if kind != "buttons"]
        return calls(reply, kinds, TEXT)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        secret = self._tokens[0] if self._tokens else None
        body = post_body(reply, self._webhook_url, secret)

        async def post(headers: Headers) -> Response:
            return await http.post_json(
                f"{self._url}/posts", body, headers=headers, check=raise_for_answer
            )

        await self._login.call(http, post)

    async def _log_in(self, http: HttpClient) -> Headers:
        if self._token:
            return {"Authorization": f"Bearer {self._token}"}
        body = {"login_id": self._user, "password": self._pw}
        try:
            answer = await http.post_json(f"{self._url}/users/login", body)
        except RejectedDeliveryError as error:
            raise ServiceUnavailable(
                f"Mattermost: login refused ({error}): check 'user', 'pw'"
            ) from error
        token = next((v for k, v in answer.headers.items() if k.lower() == "token"), None)
        if not token:
            raise ServiceUnavailable("Mattermost: login answered no token: check 'url'")
        return {"Authorization": f"Bearer {token}"}

    async def _me(self) -> str:
        """Return the bot's user id.

        Raises:
            RequestRejected: 503, Mattermost does not say it.
        """
        if self._own_id is None:
            try:
                self._own_id = await self._fetch_me()
            except DeliveryError as error:
                raise RequestRejected(503, f"not accepted, send it again: {error}") from error
        return self._own_id

    async def _fetch_me(self) -> str:
        async with HttpClient() as http:

            async def get(headers: Headers) -> Response:
                url = f"{self._url}/users/me"
                return await http.get(url, headers=headers, check=raise_for_answer)

            answer = (await self._login.call(http, get)).json()
        id = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(id, str):
            raise RetryableDeliveryError("Mattermost: /users/me has no id: check 'url'")
        return id


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the API means, with the id of its error but not its text."""
    if response.status == 401:
        raise SessionEnded("Mattermost: HTTP 401: check 'token', or 'user' and 'pw'")
    try:
        raise_for_status(response)
    except RejectedDeliveryError as error:
        raise RejectedDeliveryError(f"Mattermost: {error}{_error_id(response)}") from error


def _error_id(response: Response) -> str:
    try:
        answer: Any = response.json()
    except RetryableDeliveryError:
        return ""
    id = answer.get("id") if isinstance(answer, dict) else None
    return f" ({id[:100]})" if isinstance(id, str) else ""
