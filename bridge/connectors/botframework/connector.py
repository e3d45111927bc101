"""`botframework`: Microsoft's Bot Framework (Teams, Web Chat, …), activities in and out.

Rasa's own channel: rasa/core/channels/botframework.py (3.6). The API:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference.
A reply's route holds the service URL, the conversation and the bot's account, but no token.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.botframework.incoming import Activity, parse
from bridge.connectors.botframework.outgoing import THREAD, deliver, split
from bridge.connectors.botframework.tokens import BotToken, SigningKeys
from bridge.connectors.limits import RateLimit
from bridge.connectors.toolkit.tokens import bearer_token
from bridge.errors import RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.messages import InboundMessage, Reply


class BotFrameworkConnector(Connector):
    name = "botframework"
    verification = Verification("Microsoft's token")

    def __init__(
        self,
        app_id: str,
        app_password: str,
        tenant: str = "botframework.com",
        login_url: str = "https://login.microsoftonline.com",
        openid_url: str = "https://login.botframework.com/v1/.well-known/openidconfiguration",
        api_url: str | None = None,
    ) -> None:
        """The keys of Rasa's BotFrameworkInput, and four more.

        `tenant` is that of a single-tenant bot. `login_url` and `openid_url` are those of another
        cloud. `api_url` (a proxy) is called in place of the service URL of each activity.

        Raises:
            SettingsError: the id or the password is empty.
        """
        for key, value in (("app_id", app_id), ("app_password", app_password)):
            if not value.strip():
                raise SettingsError(f"key '{key}' is empty")
        self._keys = SigningKeys(openid_url, app_id.strip(), lambda: self.now())
        url = f"{login_url.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        self._token = BotToken(url, app_id.strip(), app_password.strip(), lambda: self.now())
        self._api_url = api_url

    async def prepare(self, request: Request) -> None:
        await self._keys.refresh(bearer_token(request))

    def verify(self, request: Request) -> None:
        claims, channels = self._keys.claims(bearer_token(request))
        activity = request.decode(Activity)
        url = claims.get("serviceurl", claims.get("serviceUrl"))
        if url is not None and url != activity.service_url:
            raise RequestRejected(403, "the token is for another service URL")
        if channels and activity.channel_id and activity.channel_id not in channels:
            raise RequestRejected(403, "the token's key is for other channels")

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        return THREAD

    def limited_recipient(self, reply: Reply) -> str:
        return str(reply.route.get("conversation") or reply.recipient_id)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._token, self._api_url)
