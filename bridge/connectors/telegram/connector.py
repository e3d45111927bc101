"""`telegram`: updates of the Bot API in, its send methods out.

Rasa's own channel: rasa/core/channels/telegram.py (3.6). The API: https://core.telegram.org/bots/api.
Rasa only asks Telegram for the bot's name at each update; this connector checks the secret that it
sets with setWebhook. The access token is part of every URL, so URLs are never logged.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.interfaces import Inbox
from bridge.connectors.limits import RateLimit
from bridge.connectors.telegram.incoming import parse, update_of
from bridge.connectors.telegram.kinds import KINDS
from bridge.connectors.telegram.outgoing import call, deliver, limits_of, split
from bridge.connectors.toolkit.request import SHORT_BODY
from bridge.errors import DeliveryError, RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.http.responses import json_response, text_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic import Blueprint, Request as SanicRequest
    from sanic.response import HTTPResponse

log = logging.getLogger(__name__)

SET_WEBHOOK_EVERY = 10
"""Seconds between two calls by /set_webhook, which anyone can open."""
SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105


class TelegramConnector(Connector):
    name = "telegram"
    kinds = KINDS
    only_webhook = frozenset({"secret_token"})
    only_deliver = frozenset({"access_token"})
    stand_ins = MappingProxyType({"access_token": "0:withheld"})
    max_body = SHORT_BODY
    verification = Verification("secret token", "secret_token")

    def __init__(
        self,
        access_token: str,
        verify: str = "",
        webhook_url: HttpUrl | None = None,
        secret_token: str | None = None,
        api_url: HttpUrl = "https://api.telegram.org",
    ) -> None:
        """The keys of Rasa's TelegramInput (`verify` is the bot's user name) and two more.

        `secret_token` is passed to setWebhook, and each update must carry it. `api_url` is that of
        a self-hosted Bot API server.

        Raises:
            SettingsError: the token or the secret does not have the form that Telegram requires.
        """
        if not re.fullmatch(r"\d+:\S+", access_token.strip()):
            raise SettingsError(
                "key 'access_token' is not a bot token",
                fix="copy it from BotFather: <digits>:<letters>",
            )
        if secret_token is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret_token):
            raise SettingsError(
                "key 'secret_token' is not valid",
                fix="use 1 to 256 of the characters A-Z, a-z, 0-9, '_' and '-'",
            )
        self._url = f"{api_url.rstrip('/')}/bot{access_token.strip()}"
        self._bot = verify.lstrip("@")
        self._bot_id = access_token.strip().partition(":")[0]
        self._webhook_url = webhook_url
        self._secret = secret_token
        self._may_set_at = float("-inf")
        self._starting: asyncio.Task[None] | None = None

    def verifies(self) -> bool:
        return bool(self._secret)

    def warnings(self) -> list[str]:
        missing = super().warnings()
        if not self._webhook_url:
            missing.append("key 'webhook_url' is missing: Telegram is not told where to post")
        return missing

    def verify(self, request: Request) -> None:
        given = request.headers.get(SECRET_HEADER, "")
        if self._secret and not hmac.compare_digest(
            given.encode(errors="replace"), self._secret.encode()
        ):
            raise RequestRejected(403, "X-Telegram-Bot-Api-Secret-Token is not the configured one")

    def parse(self, request: Request) -> list[InboundMessage]:
        # The id tells the updates of several bots apart; without the token, the channel does.
        bot_id = self.channel if self._has_no_token() else self._bot_id
        return parse(self, request, self._bot, bot_id)

    def _has_no_token(self) -> bool:
        """Return whether only `deliver` has the token: this process cannot call Telegram."""
        return "access_token" in self.withheld

    def acknowledge(self, request: Request) -> HTTPResponse:
        # The response to an update may contain a call. This one ends the progress animation of the
        # pressed button.
        query = update_of(request).callback_query
        if query is not None:
            return json_response({"method": "answerCallbackQuery", "callback_query_id": query.id})
        return text_response("success")

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        return limits_of(reply.recipient_id)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        await deliver(reply, http, self._url)

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Add Rasa's `/set_webhook`, and set the webhook at each start, as Rasa does."""
        blueprint = super().blueprint(inbox)

        async def start(*_: Any) -> None:
            if self._webhook_url and self._has_no_token():
                log.info("channel %s: no token here, so the webhook is not set", self.channel)
            elif self._webhook_url:
                self._starting = asyncio.ensure_future(self._set_webhook_at_start())

        async def stop(*_: Any) -> None:
            if self._starting:
                self._starting.cancel()

        # A function, because Sanic 21.12 does not accept bound methods.
        async def set_webhook(_: SanicRequest) -> HTTPResponse:
            return await self._on_set_webhook()

        blueprint.add_route(
            set_webhook, "/set_webhook", methods=["GET", "POST"], name="set_webhook"
        )
        blueprint.listener("after_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        return blueprint

    async def _on_set_webhook(self) -> HTTPResponse:
        if not self._webhook_url or self._has_no_token():
            missing = "access_token" if self._webhook_url else "webhook_url"
            return json_response({"error": f"key '{missing}' is missing"}, status=400)
        if time.monotonic() < self._may_set_at:
            wait = {"Retry-After": str(SET_WEBHOOK_EVERY)}
            return json_response({"error": "set a moment ago; try again later"}, 429, wait)
        self._may_set_at = time.monotonic() + SET_WEBHOOK_EVERY
        try:
            await self._set_webhook()
        except DeliveryError as error:
            log.warning("channel %s: setWebhook failed: %s", self.channel, error)
            return text_response("Invalid webhook", status=502)
        return text_response("Webhook setup successful")

    async def _set_webhook_at_start(self) -> None:
        try:
            await self._set_webhook()
        except DeliveryError as error:
            log.warning(
                "channel %s: setWebhook failed (%s); open /webhooks/%s/set_webhook to try again",
                self.channel,
                error,
                self.channel,
            )

    async def _set_webhook(self) -> None:
        body = {"url": self._webhook_url}
        if self._secret:
            body["secret_token"] = self._secret
        async with HttpClient() as http:
            await call(http, self._url, "setWebhook", body)
