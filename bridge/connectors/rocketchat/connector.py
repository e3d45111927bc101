"""`rocketchat`: outgoing integrations and the omnichannel webhook in, chat.postMessage out.

Rasa's own channel: rasa/core/channels/rocketchat.py (3.6). The API:
https://developer.rocket.chat/apidocs/post-message, https://docs.rocket.chat/docs/integrations and
https://docs.rocket.chat/docs/webhooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.rocketchat.incoming import parse, posted
from bridge.connectors.rocketchat.kinds import KINDS
from bridge.connectors.rocketchat.outgoing import deliver, split
from bridge.connectors.rocketchat.tokens import log_in
from bridge.connectors.toolkit.login import Login
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.connectors.toolkit.tokens import is_one_of, token_list
from bridge.errors import RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

LIVECHAT_HEADER = "x-rocketchat-livechat-token"


class RocketChatConnector(Connector):
    name = "rocketchat"
    kinds = KINDS
    only_webhook = frozenset({"outgoing_webhook_token"})
    only_deliver = frozenset({"password"})
    max_body = SHORT_BODY
    verification = Verification("token", "outgoing_webhook_token")

    def __init__(
        self,
        user: str,
        password: str,
        server_url: HttpUrl,
        outgoing_webhook_token: str | list[str] | None = None,
    ) -> None:
        """The keys of Rasa's RocketChatInput, and `outgoing_webhook_token`.

        The latter is the token of an outgoing integration, the secret token of the omnichannel
        webhook, or a list of such tokens.

        Raises:
            SettingsError: the user or the password is empty.
        """
        for key, value in (("user", user), ("password", password)):
            if not value.strip():
                raise SettingsError(f"key '{key}' is empty", fix="use the bot's at Rocket.Chat")
        self._user = user.strip()
        self._url = f"{server_url.rstrip('/')}/api/v1"
        self._tokens = token_list(outgoing_webhook_token)
        self._login = Login(partial(log_in, url=self._url, user=self._user, password=password))

    def verifies(self) -> bool:
        return bool(self._tokens)

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if "@" in self._user:
            missing.append(
                "key 'user' is an email address: use the user name, which identifies the bot's own"
                " messages; otherwise the bot may answer itself"
            )
        return missing

    def verify(self, request: Request) -> None:
        given = request.headers.get(LIVECHAT_HEADER) or posted(request).token
        if self._tokens and not is_one_of(given, self._tokens):
            raise RequestRejected(403, "the token is not a configured token")

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self._user)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url, self._login)
