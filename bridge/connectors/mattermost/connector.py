"""`mattermost`: outgoing webhooks, buttons and slash commands in, posts out.

Rasa's own channel: rasa/core/channels/mattermost.py (3.6). The API: https://developers.mattermost.com,
integrate/webhooks/outgoing, integrate/plugins/interactive-messages, integrate/slash-commands/custom
and api-documentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.mattermost.incoming import parse, posted
from bridge.connectors.mattermost.kinds import KINDS
from bridge.connectors.mattermost.outgoing import button_signature, deliver, split
from bridge.connectors.mattermost.tokens import Bot, fetch_bot, log_in
from bridge.connectors.toolkit.fetch import not_accepted
from bridge.connectors.toolkit.login import Login
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.tokens import is_one_of, token_list
from bridge.errors import DeliveryError, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.http.direct import direct
from bridge.http.responses import json_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Request as SanicRequest
    from sanic.response import HTTPResponse


class MattermostConnector(Connector):
    name = "mattermost"
    kinds = KINDS
    verification = Verification("token", "outgoing_webhook_token")

    def __init__(
        self,
        url: HttpUrl,
        token: str | None = None,
        webhook_url: HttpUrl | None = None,
        user: str | None = None,
        pw: str | None = None,
        outgoing_webhook_token: str | list[str] | None = None,
    ) -> None:
        """The keys of Rasa's MattermostInput, those of its older versions (`user`, `pw`), and one
        more.

        `url` is that of the API, with `/api/v4`. Buttons post to `webhook_url`. A bot has a `token`
        or logs in with `user` and `pw`. `outgoing_webhook_token` is the token of one outgoing
        webhook or slash command, or a list of such tokens.

        Raises:
            SettingsError: there is neither a token nor a user with a password.
        """
        if not (token and token.strip()) and not (user and pw):
            raise SettingsError(
                "key 'token' is missing", fix="add the bot's token, or 'user' and 'pw'"
            )
        self._url = url.rstrip("/")
        token = (token or "").strip()
        self._webhook_url = webhook_url
        self._tokens = token_list(outgoing_webhook_token)
        self._login = Login(
            partial(log_in, url=self._url, token=token, user=user, password=pw), renews=not token
        )
        self._bot: Bot | None = None
        self._identified = Refreshed(self._identify, lambda: self.now())

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
            known = [button_signature(token, given.context.action) for token in self._tokens]
            if not is_one_of(given.context.token, known):
                raise RequestRejected(403, "the button does not have a valid signature")
        elif not is_one_of(given.token, self._tokens):
            raise RequestRejected(403, "the token is not a configured token")

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        # A webhook without trigger words also receives the bot's own posts; the bot would answer
        # itself.
        given = posted(incoming)
        if given.trigger_word == "" and given.user_id == await self._me():
            self.ignore("own_post")
            return self.acknowledge(incoming)
        return await super().receive(request, incoming, inbox)

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._bot.username if self._bot else None)

    def acknowledge(self, request: Request) -> HTTPResponse:
        # Mattermost parses a response that is not empty as JSON, and would post a text in it.
        return json_response({})

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply, buttons=bool(self._webhook_url))

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        secret = self._tokens[0] if self._tokens else None
        await deliver(reply, http, self._url, self._login, self._webhook_url, secret)

    async def _me(self) -> str:
        """Return the bot's user id; fetched once.

        Raises:
            RequestRejected: 503, Mattermost did not provide it.
        """
        await self._identified.refresh(lambda: self._bot is None)
        return self._bot.id if self._bot else ""

    async def _identify(self) -> None:
        try:
            self._bot = await fetch_bot(self._url, self._login)
        except DeliveryError as error:
            raise not_accepted(error) from error
