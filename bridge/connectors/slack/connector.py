"""`slack`: the Events API, interactive components and slash commands in, chat.postMessage out.

Rasa's own channel: rasa/core/channels/slack.py (3.6). The API: https://docs.slack.dev/apis/events-api,
https://docs.slack.dev/reference/methods/chat.postMessage.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from slack_sdk.signature import SignatureVerifier

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.limits import RateLimit
from bridge.connectors.slack.incoming import Envelope, parse
from bridge.connectors.slack.kinds import KINDS
from bridge.connectors.slack.outgoing import CHANNEL, deliver, split
from bridge.connectors.toolkit.request import JSON
from bridge.errors import RequestRejected, SettingsError
from bridge.http.client import HttpClient
from bridge.http.responses import text_response
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import HttpUrl

if TYPE_CHECKING:
    from sanic.response import HTTPResponse

log = logging.getLogger(__name__)


class SlackConnector(Connector):
    name = "slack"
    only_webhook = frozenset({"slack_signing_secret"})
    only_deliver = frozenset({"slack_token"})
    verification = Verification("signature")
    kinds = KINDS

    def __init__(
        self,
        slack_token: str,
        slack_signing_secret: str,
        slack_channel: str | None = None,
        proxy: str | None = None,
        slack_retry_reason_header: str = "x-slack-retry-reason",
        slack_retry_number_header: str = "x-slack-retry-num",
        errors_ignore_retry: list[str] | str | None = None,
        use_threads: bool = False,
        conversation_granularity: Literal["sender", "channel", "thread"] = "sender",
        api_url: HttpUrl = "https://slack.com/api",
    ) -> None:
        """The keys of Rasa's SlackInput, and `api_url` (for GovSlack).

        Raises:
            SettingsError: the signing secret is empty.
        """
        if not slack_signing_secret.strip():
            raise SettingsError(
                "key 'slack_signing_secret' is empty",
                fix="copy it from the Slack app's page Basic Information",
            )
        self.slack_channel = slack_channel
        self.use_threads = use_threads
        self.granularity = conversation_granularity
        self._verifier = SignatureVerifier(slack_signing_secret, clock=self)  # type: ignore[arg-type]
        self._retry_headers = slack_retry_number_header.lower(), slack_retry_reason_header.lower()
        reasons = errors_ignore_retry or []
        # As in Rasa, a text may hold one reason or several.
        self._ignored_retries = (
            re.split(r"[\s,]+", reasons) if isinstance(reasons, str) else reasons
        )
        self._url = api_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {slack_token.strip()}"}
        self._proxy = proxy

    def verify(self, request: Request) -> None:
        try:
            genuine = self._verifier.is_valid_request(request.body, dict(request.headers))
        except (TypeError, ValueError, ArithmeticError):
            # The timestamp is not a number, or the signature or the body is not text.
            genuine = False
        if not genuine:
            raise RequestRejected(403, "no valid X-Slack-Signature from the last five minutes")

    def greet(self, request: Request) -> HTTPResponse:
        self.verify(request)
        return text_response("Bot message delivered.")

    def handshake(self, request: Request) -> HTTPResponse | None:
        number, reason = (request.headers.get(name) for name in self._retry_headers)
        if number and reason in self._ignored_retries:
            log.info("retry ignored (%s)", reason)
            return text_response("", status=201, headers={"X-Slack-No-Retry": "1"})
        if request.content_type == JSON:
            challenge = request.decode(Envelope).challenge
            return text_response(challenge) if challenge is not None else None
        return None

    def parse(self, request: Request) -> list[InboundMessage]:
        return parse(self, request, self.slack_channel, self.use_threads, self.granularity)

    def acknowledge(self, request: Request) -> HTTPResponse:
        # Slack shows the response to a slash command to the user, so it is empty.
        return text_response("")

    def split(self, reply: Reply) -> Iterable[Reply]:
        return split(reply)

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        return (CHANNEL,)

    def limited_recipient(self, reply: Reply) -> str:
        return str(reply.route.get("channel") or self.slack_channel or reply.recipient_id)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        channel = self.limited_recipient(reply)
        await deliver(reply, http, self._url, self._headers, self._proxy, channel)
