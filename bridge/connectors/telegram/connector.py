"""`telegram`: updates of the Bot API in, its send methods out.

Rasa's own channel: rasa/core/channels/telegram.py (3.6). The API: https://core.telegram.org/bots/api.
Rasa asks Telegram for the bot's name at every update and checks nothing else; here the secret that
setWebhook sets is checked. The access token is a part of every URL, so no URL is ever logged.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Iterable
from typing import Any

from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response, text as text_response

from bridge.connectors.base import Connector, Inbox, Request, Verification
from bridge.connectors.telegram.incoming import Update, said
from bridge.connectors.telegram.outgoing import KINDS, TEXT, call_of
from bridge.connectors.toolkit.replies import calls, utf16_length
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

log = logging.getLogger(__name__)

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105


class TelegramConnector(Connector):
    name = "telegram"
    verification = Verification("secret token", "secret_token")

    def __init__(
        self,
        access_token: str,
        verify: str = "",
        webhook_url: str | None = None,
        secret_token: str | None = None,
        api_url: str = "https://api.telegram.org",
    ) -> None:
        """The keys of Rasa's TelegramInput (`verify` is the bot's user name) and two more.

        `secret_token`: what setWebhook is given and each update must carry. `api_url`: of a Bot
        API server of your own.

        Raises:
            SettingsError: Telegram would not take the token or the secret.
        """
        if not re.fullmatch(r"\d+:\S+", access_token.strip()):
            raise SettingsError("key 'access_token': as BotFather gives it, <digits>:<letters>")
        if secret_token is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret_token):
            raise SettingsError(
                "key 'secret_token': 1 to 256 letters of A-Z, a-z, 0-9, '_' and '-'"
            )
        self._url = f"{api_url.rstrip('/')}/bot{access_token.strip()}"
        self._bot = verify.lstrip("@")
        self._bot_id = access_token.strip().partition(":")[0]
        self._webhook_url = webhook_url
        self._secret = secret_token
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
        if request.content_type != "application/json":
            raise RequestRejected(415, "send application/json")
        update = request.decode(Update)
        heard = said(update, self._bot)
        if heard is None:
            return []
        # Bots count their updates one by one, and a user's chat has the same id with each.
        id = f"{self._bot_id}:{update.update_id}"
        texts = ["/restart", "/start"] if heard.text == "/restart" else [heard.text]
        return [
            self.message(
                request,
                id=f"{id}.{n}" if n else id,
                sender_id=heard.chat,
                text=text,
                metadata=heard.metadata,
            )
            for n, text in enumerate(texts)
        ]

    def acknowledge(self, request: Request) -> HTTPResponse:
        # A call may be made in the answer to an update. This one ends the wait that the button
        # that was pressed shows.
        query = request.decode(Update).callback_query
        if query is not None:
            return json_response({"method": "answerCallbackQuery", "callback_query_id": query.id})
        return text_response("success")

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, KINDS, TEXT, utf16_length)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        method, body = call_of(reply)
        await self._call(http, method, body)

    async def _call(self, http: HttpClient, method: str, body: dict[str, Any]) -> None:
        await http.post_json(f"{self._url}/{method}", body, check=raise_for_answer)

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Add Rasa's /set_webhook; the webhook is set at each start, too, as Rasa does."""
        blueprint = super().blueprint(inbox)

        async def start(*_: Any) -> None:
            if self._webhook_url:
                self._starting = asyncio.ensure_future(self._set_webhook_at_start())

        async def stop(*_: Any) -> None:
            if self._starting:
                self._starting.cancel()

        # A function of its own: Sanic 21.12 takes no bound method.
        async def set_webhook(_: SanicRequest) -> HTTPResponse:
            return await self._on_set_webhook()

        blueprint.add_route(
            set_webhook, "/set_webhook", methods=["GET", "POST"], name="set_webhook"
        )
        blueprint.listener("after_server_start")(start)
        blueprint.listener("before_server_stop")(stop)
        return blueprint

    async def _on_set_webhook(self) -> HTTPResponse:
        if not self._webhook_url:
            return json_response({"error": "key 'webhook_url' is missing"}, status=400)
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
                "channel %s: setWebhook failed (%s): open /webhooks/%s/set_webhook to try again",
                self.channel,
                error,
                self.channel,
            )

    async def _set_webhook(self) -> None:
        body = {"url": self._webhook_url}
        if self._secret:
            body["secret_token"] = self._secret
        async with HttpClient() as http:
            await self._call(http, "setWebhook", body)


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the Bot API means."""
    if response.status in (401, 404):
        raise ServiceUnavailable(f"Telegram: HTTP {response.status}: check 'access_token'")
    answer = response.json_object()
    if answer.get("ok") is True and response.status == 200:
        return
    parameters = answer.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    if isinstance(seconds, (int, float)):
        raise RetryableDeliveryError("Telegram: too many requests", retry_after=max(0.0, seconds))
    if response.status in (400, 403):
        # What it quotes may be of the text.
        said = re.sub(r'".*"', '"…"', str(answer.get("description")), flags=re.DOTALL)
        raise RejectedDeliveryError(f"Telegram: {said[:120]}")
    raise_for_status(response)
    raise RetryableDeliveryError("Telegram answered neither ok nor an error")
