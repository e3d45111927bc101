"""`slack`: Events API, interactive components and slash commands in, chat.postMessage out.

Rasa's own channel: rasa/core/channels/slack.py (3.6). The API: https://docs.slack.dev/apis/events-api,
https://docs.slack.dev/reference/methods/chat.postMessage. No secret travels on the queue: a
`response_url` is not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Literal

from sanic.response import HTTPResponse, text as text_response
from slack_sdk.signature import SignatureVerifier

from bridge.connectors.base import Connector, Request, Verification
from bridge.connectors.slack.incoming import Envelope, Said, of_command, of_event, of_interaction
from bridge.connectors.slack.outgoing import KINDS, SECTION, TEXT, message_body
from bridge.connectors.toolkit.replies import calls
from bridge.errors import (
    RejectedDeliveryError,
    RequestRejected,
    RetryableDeliveryError,
    ServiceUnavailable,
    SettingsError,
)
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import InboundMessage, Reply

log = logging.getLogger(__name__)

JSON, FORM = "application/json", "application/x-www-form-urlencoded"

LATER = {
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
"""Errors that pass by themselves."""
CLOSED = {
    "access_denied",
    "account_inactive",
    "accesslimited",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "invalid_auth",
    "no_permission",
    "not_authed",
    "org_login_required",
    "team_access_not_granted",
    "token_expired",
    "token_revoked",
    "two_factor_setup_required",
}
"""Errors that every call meets until somebody mends the token: the backlog waits for it."""


class SlackConnector(Connector):
    name = "slack"
    verification = Verification("signature")

    def __init__(
        self,
        slack_token: str,
        slack_signing_secret: str,
        slack_channel: str | None = None,
        proxy: str | None = None,
        slack_retry_reason_header: str = "x-slack-retry-reason",
        slack_retry_number_header: str = "x-slack-retry-num",
        errors_ignore_retry: list[str] | None = None,
        use_threads: bool = False,
        conversation_granularity: Literal["sender", "channel", "thread"] = "sender",
        api_url: str = "https://slack.com/api",
    ) -> None:
        """The keys of Rasa's SlackInput, and `api_url`, which GovSlack needs.

        Raises:
            SettingsError: the signing secret is empty.
        """
        if not slack_signing_secret.strip():
            raise SettingsError("key 'slack_signing_secret' is empty: see Basic Information")
        self.slack_channel = slack_channel
        self.use_threads = use_threads
        self.granularity = conversation_granularity
        self._verifier = SignatureVerifier(slack_signing_secret, clock=self)  # type: ignore[arg-type]
        self._retry_headers = slack_retry_number_header.lower(), slack_retry_reason_header.lower()
        self._ignored_retries = errors_ignore_retry or []
        self._url = f"{api_url.rstrip('/')}/chat.postMessage"
        self._headers = {"Authorization": f"Bearer {slack_token.strip()}"}
        self._proxy = proxy

    def verify(self, request: Request) -> None:
        try:
            genuine = self._verifier.is_valid_request(request.body, dict(request.headers))
        except (TypeError, ValueError, ArithmeticError):
            # A timestamp that is no number, a signature or a body that is no text.
            genuine = False
        if not genuine:
            raise RequestRejected(403, "no valid X-Slack-Signature of the last five minutes")

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
        return [self._message(request, said) for said in self._said(request)]

    def _said(self, request: Request) -> list[Said]:
        if request.content_type == JSON:
            return of_event(request.decode(Envelope), self.slack_channel)
        if request.content_type == FORM:
            form = request.form()
            return of_interaction(form["payload"]) if "payload" in form else of_command(form)
        raise RequestRejected(415, f"send {JSON} or {FORM}")

    def _message(self, request: Request, said: Said) -> InboundMessage:
        route = {"channel": said.channel}
        if self.use_threads:
            route["thread_ts"] = said.thread
        return self.message(
            request,
            id=said.id,
            sender_id=self._conversation(said),
            text=said.text,
            metadata={
                "out_channel": said.channel,
                "thread_id": said.thread,
                "users": said.users,
                **said.extra,
            },
            route={key: value for key, value in route.items() if value},
        )

    def _conversation(self, said: Said) -> str:
        parts = [said.user]
        if self.granularity == "channel" and said.channel:
            parts = [said.user, said.channel]
        if self.granularity == "thread" and said.channel and said.thread:
            parts = [said.user, said.channel, said.thread]
        return "_".join(parts)

    def acknowledge(self, request: Request) -> HTTPResponse:
        # Slack shows what a slash command is answered, so nothing.
        return text_response("")

    def split(self, reply: Reply) -> Iterable[Reply]:
        return calls(reply, KINDS, TEXT, button_limit=SECTION)

    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        channel = reply.route.get("channel") or self.slack_channel or reply.recipient_id
        body = message_body(reply, channel, reply.route.get("thread_ts"))
        await http.post_json(
            self._url, body, headers=self._headers, proxy=self._proxy, check=raise_for_answer
        )


def raise_for_answer(response: Response) -> None:
    """Raise what an answer of the Web API means: most errors come as 200 and `"ok": false`."""
    raise_for_status(response)
    answer: Any = response.json()
    if not isinstance(answer, dict):
        raise RetryableDeliveryError("Slack answered no JSON object")
    if answer.get("ok") is True:
        return
    error = f"Slack: {answer.get('error')}"[:80]
    if answer.get("error") in LATER:
        raise RetryableDeliveryError(error, retry_after=parse_retry_after(response.headers))
    if answer.get("error") in CLOSED:
        raise ServiceUnavailable(f"{error}: check 'slack_token'")
    raise RejectedDeliveryError(error)
