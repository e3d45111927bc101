"""`botframework`: Microsoft's Bot Framework (Teams, Web Chat, …), activities in and out.

Rasa's own channel: rasa/core/channels/botframework.py (3.6). The API:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference.
A reply's route holds the service URL, the conversation and the bot's account, but no token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.botframework.incoming import Activity, parse
from bridge.connectors.botframework.kinds import KINDS
from bridge.connectors.botframework.outgoing import THREAD, deliver, split
from bridge.connectors.botframework.tokens import (
    SERVICES,
    BotToken,
    SigningKeys,
    is_service,
)
from bridge.connectors.limits import RateLimit
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.connectors.toolkit.tokens import bearer_token
from bridge.errors import RejectedDeliveryError, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.http.responses import json_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic.response import HTTPResponse

TAKEN = {
    "statusCode": 200,
    "type": "application/vnd.microsoft.activity.message",
    "value": "OK",
}
"""Answers a card's action; any other answer is shown to the user as a failure."""
FIX = "if it is your cloud's, add its host to 'service_hosts'"


class BotFrameworkConnector(Connector):
    name = "botframework"
    kinds = KINDS
    only_deliver = frozenset({"app_password"})
    max_body = SHORT_BODY
    verification = Verification("Microsoft's token")

    def __init__(
        self,
        app_id: str,
        app_password: str,
        tenant: str = "botframework.com",
        login_url: HttpUrl = "https://login.microsoftonline.com",
        openid_url: HttpUrl = "https://login.botframework.com/v1/.well-known/openidconfiguration",
        api_url: HttpUrl | None = None,
        service_hosts: list[str] | None = None,
    ) -> None:
        """The keys of Rasa's BotFrameworkInput, and five more.

        `tenant` is that of a single-tenant bot. `login_url` and `openid_url` are those of another
        cloud. `api_url` (a proxy) is called in place of the service URL of each activity. The bot's
        token is sent only to Microsoft's hosts and `service_hosts`.

        Raises:
            SettingsError: the id or the password is empty, or a host is not one.
        """
        for host in service_hosts or []:
            if not re.fullmatch(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", host, re.ASCII):
                raise SettingsError(
                    "key 'service_hosts': list names of hosts, such as smba.example.com",
                    fix="leave out https:// and the path",
                )
        self._hosts = (*SERVICES, *(host.lower() for host in service_hosts or []))
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
        if not url or url != activity.service_url:
            raise RequestRejected(403, "the token is not for this service URL")
        if not is_service(url, self._hosts):
            raise RequestRejected(403, "the service URL is not allowed", fix=FIX)
        if channels and activity.channel_id and activity.channel_id not in channels:
            raise RequestRejected(403, "the token's key is for other channels")

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request)

    def acknowledge(self, request: Request) -> HTTPResponse:
        if request.decode(Activity).type == "invoke":
            return json_response(TAKEN)
        return super().acknowledge(request)

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        return THREAD

    def limited_recipient(self, reply: Reply) -> str:
        return str(reply.route.get("conversation") or reply.recipient_id)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._token, self._base_of(reply))

    def _base_of(self, reply: Reply) -> str:
        """Return the URL to which the bot's token is sent with a reply.

        The webhook has checked it, but anyone who may publish can write a reply.
        """
        url = self._api_url or reply.route.get("service_url")
        if not self._api_url and not is_service(url, self._hosts):
            raise RejectedDeliveryError("the service URL is not allowed", fix=FIX)
        return str(url).rstrip("/")
