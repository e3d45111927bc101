"""Sends replies with chat.postMessage, within the limits of Block Kit.

The answer to a button of an ephemeral message is ephemeral as well (chat.postEphemeral).

Limits: https://docs.slack.dev/reference/block-kit/blocks,
https://docs.slack.dev/reference/methods/chat.postMessage and …/chat.postEphemeral.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.connectors.limits import RateLimit
from bridge.connectors.toolkit.replies import Button, as_text, buttons_of, calls
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.http.client import HttpClient, Response, parse_retry_after, raise_for_status
from bridge.messages import Reply

TEXT = 4000
"""Characters of a message. Slack splits longer texts itself, and truncates at 40,000."""
SECTION = 3000
"""Characters of the text next to buttons."""
BUTTONS = 25
"""Buttons of one block."""
BLOCKS = 50
"""Blocks of one message."""
TITLE = 75
"""Characters of a button's title."""
VALUE = 2000
"""Characters that a button can send, and of the alternative text of an image."""
URL = 3000
"""Characters of a URL."""
CHANNEL = RateLimit(1, 5)
"""Messages to one channel: one a second, short bursts allowed.
https://docs.slack.dev/apis/web-api/rate-limits"""
KINDS = ("text", "buttons", "image", "attachment", "custom")
"""Kinds that Slack supports; the others are replaced as in Rasa."""

RETRYABLE = {
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
    "team_added_to_org",
}
"""Temporary errors."""
UNAVAILABLE = {
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
"""Errors of every call until the token is fixed; the replies wait for that."""


async def deliver(
    reply: Reply,
    http: HttpClient,
    url: str,
    headers: Mapping[str, str],
    proxy: str | None,
    channel: str,
) -> None:
    """POST one part of a reply; raises as `Connector.deliver`. `url` is that of the Web API."""
    body = message_body(reply, channel, reply.route.get("thread_ts"))
    method = "chat.postEphemeral" if reply.route.get("ephemeral") else "chat.postMessage"
    await http.post_json(
        f"{url}/{method}", body, headers=headers, proxy=proxy, check=raise_for_response
    )


def split(reply: Reply) -> Iterable[Reply]:
    """Return one reply per call; what Slack's blocks cannot hold becomes text."""
    if reply.kind == "image" and len(str(reply.content)) > URL:
        return calls(reply, (), TEXT)
    return calls(reply, KINDS, TEXT, button_limit=SECTION, fits=fits)


def fits(reply: Reply) -> bool:
    """Return whether the blocks of a message can hold the buttons of a reply."""
    buttons = buttons_of(reply)
    longest = max(len(b.payload) for b in buttons)
    return (
        len(buttons) <= BUTTONS * (BLOCKS - 1)
        and longest <= VALUE
        and max(len(b.url or "") for b in buttons) <= URL
    )


def message_body(reply: Reply, channel: str, thread: str | None) -> dict[str, Any]:
    """Return the body of the call.

    Raises:
        RejectedDeliveryError: the reply's content cannot be sent.
    """
    user = reply.route.get("ephemeral")
    author = {"user": user} if user else {"as_user": True}
    body = {**author, "channel": channel, **_content(reply)}
    if thread:
        body.setdefault("thread_ts", thread)
    return body


def _content(reply: Reply) -> dict[str, Any]:
    if reply.kind == "buttons":
        return {"text": reply.text, "blocks": _blocks(reply)}
    if reply.kind == "image":
        url = str(reply.content)
        image = {"type": "image", "image_url": url, "alt_text": url[:VALUE]}
        return {"text": url, "blocks": [image]}
    if reply.kind == "attachment":
        return _attachment(reply)
    if reply.kind == "custom":
        if not isinstance(reply.content, dict):
            raise RejectedDeliveryError(
                "a custom reply must be an object: chat.postMessage arguments"
            )
        return {key: value for key, value in reply.content.items() if value is not None}
    return {"text": reply.text, "type": "mrkdwn"}


def _attachment(reply: Reply) -> dict[str, Any]:
    """Return an object as a Slack attachment, and anything else (a URL) as text."""
    if not isinstance(reply.content, dict):
        return {"text": as_text(reply)}
    options = {k: v for k, v in reply.options.items() if v is not None and k != "utter_action"}
    return {"attachments": [reply.content], **options}


def _blocks(reply: Reply) -> list[dict[str, Any]]:
    buttons = [_button(button) for button in buttons_of(reply)]
    rows = [buttons[n : n + BUTTONS] for n in range(0, len(buttons), BUTTONS)]
    blocks: list[dict[str, Any]] = [{"type": "actions", "elements": row} for row in rows]
    if reply.text:
        text = {"type": "plain_text", "text": reply.text}
        blocks.insert(0, {"type": "section", "text": text})
    return blocks


def _button(button: Button) -> dict[str, Any]:
    title = button.title if len(button.title) <= TITLE else f"{button.title[: TITLE - 1]}…"
    element = {"type": "button", "text": {"type": "plain_text", "text": title}}
    return {**element, "url": button.url} if button.url else {**element, "value": button.payload}


def raise_for_response(response: Response) -> None:
    """Raise the error for a Web API response: most are HTTP 200 with `"ok": false`.

    Slack's limits apply per method and workspace (https://docs.slack.dev/apis/web-api/rate-limits),
    and nearly every reply is a chat.postMessage.
    """
    raise_for_status(response, "channel")
    answer: Any = response.json()
    if not isinstance(answer, dict):
        raise RetryableDeliveryError("Slack: the response is not a JSON object")
    if answer.get("ok") is True:
        return
    error = f"Slack: {answer.get('error')}"[:80]
    if answer.get("error") in RETRYABLE:
        wait = parse_retry_after(response.headers)
        raise RetryableDeliveryError(error, retry_after=wait, scope="channel")
    if answer.get("error") in UNAVAILABLE:
        raise ServiceUnavailable(error, fix="check 'slack_token'")
    raise RejectedDeliveryError(error)
