"""`botframework`: Microsoft's Bot Framework (Teams, Web Chat, …), activities in and out.

Rasa's own channel: rasa/core/channels/botframework.py (3.6). The API:
https://learn.microsoft.com/en-us/azure/bot-service/rest-api/bot-framework-rest-connector-api-reference.
Where a reply goes travels in its route: service URL, conversation, the bot's account; no token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.botframework.incoming import Activity, metadata, said
from bridge.connectors.botframework.outgoing import activity, split
from bridge.connectors.botframework.tokens import BotToken, SigningKeys
from bridge.errors import (
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
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

        `tenant`: of a single-tenant bot. `login_url` and `openid_url`: of another cloud. `api_url`:
        called in place of the service URL of each activity (a proxy of your own).

        Raises:
            SettingsError: id or password is empty.
        """
        for key, value in (("app_id", app_id), ("app_password", app_password)):
            if not value.strip():
                raise SettingsError(f"key '{key}' is empty")
        self._keys = SigningKeys(openid_url, app_id.strip(), lambda: self.now())
        url = f"{login_url.rstrip('/')}/{tenant}/oauth2/v2.0/token"
        self._token = BotToken(url, app_id.strip(), app_password.strip(), lambda: self.now())
        self._api_url = api_url

    async def prepare(self, request: Request) -> None:
        await self._keys.refresh(_bearer(request))

    def verify(self, request: Request) -> None:
        claims, channels = self._keys.claims(_bearer(request))
        said = request.decode(Activity)
        url = claims.get("serviceurl", claims.get("serviceUrl"))
        if url is not None and url != said.service_url:
            raise RequestRejected(403, "the token is for another service URL")
        if channels and said.channel_id and said.channel_id not in channels:
            raise RequestRejected(403, "the token's key is for other channels")

    def parse(self, request: Request) -> list[InboundMessage]:
        if request.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        heard = request.decode(Activity)
        if heard.type != "message":
            return []
        user, bot, conversation, url = (
            heard.user,
            heard.recipient,
            heard.conversation,
            heard.service_url,
        )
        if not (user and user.id and bot and conversation and conversation.id and url):
            raise RequestRejected(
                400, "a message needs 'from', 'recipient', 'conversation' and 'serviceUrl'"
            )
        text = said(heard)
        if text is None:
            return []
        message = self.message(
            request,
            # Channels number the activities of each conversation for itself.
            id=f"{conversation.id}:{heard.id}" if heard.id else None,
            sender_id=user.id,
            text=text,
            metadata=metadata(heard),
            route={"service_url": url, "conversation": conversation.id, "bot": _account(request)},
        )
        return [message]

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        route = reply.route
        if not route.get("conversation"):
            raise RejectedDeliveryError("no conversation to send it to: nobody has written there")
        base = (self._api_url or route["service_url"]).rstrip("/")
        url = f"{base}/v3/conversations/{quote(route['conversation'], safe='')}/activities"
        body = activity(reply)
        refused = None
        for _ in range(2):
            token = await self._token.get(http, refused)
            headers = {"Authorization": f"Bearer {token}"}
            response = await http.post_json(url, body, headers=headers, check=raise_for_answer)
            if response.status != 401:
                return
            refused = token
        raise ServiceUnavailable("HTTP 401: check 'app_id', 'app_password' and 'tenant'")


def raise_for_answer(response: Response) -> None:
    """Raise what an answer means; 401 is left to the caller, who may have an old token."""
    if response.status == 412:
        raise RetryableDeliveryError(
            "HTTP 412: Teams asks to try again", retry_after=parse_retry_after(response.headers)
        )
    if response.status != 401:
        raise_for_status(response)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _account(request: Request) -> Any:
    """Return the bot's account as it was sent: replies are from it."""
    return request.json_object()["recipient"]
