"""Several instances of one channel: two Slack workspaces and two Telegram bots, side by side."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bridge.broker.connection import connect
from bridge.connectors.registry import load_channels
from bridge.settings.files import BrokerSettings, Partitions
from tests.integration.connectors import slack_table, telegram_table
from tests.integration.connectors.tables import Post, as_bytes
from tests.integration.connectors.through import Bridge, a_bridge
from tests.support.broker import Broker
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMESPACE = "instances"
SLACK = {"slack": "0" * 32, "slack-sales": "1" * 32}
"""Instance → signing secret; the token is `xoxb-<instance>`."""
TELEGRAM = {"telegram": "1:one", "telegram-sales": "2:two"}
"""Instance → token; the secret is `secret-<instance>`."""
INSTANCES = [*SLACK, *TELEGRAM]
OTHER = {
    "slack": "slack-sales",
    "slack-sales": "slack",
    "telegram": "telegram-sales",
    "telegram-sales": "telegram",
}

each_instance = pytest.mark.parametrize("name", INSTANCES)


def credentials(url: str) -> dict[str, dict[str, Any]]:
    slacks = {
        name: {
            "channel": "slack",
            "slack_token": f"xoxb-{name}",
            "slack_signing_secret": secret,
            "api_url": f"{url}api",
        }
        for name, secret in SLACK.items()
    }
    telegrams = {
        name: {
            "channel": "telegram",
            "access_token": token,
            "secret_token": f"secret-{name}",
            "webhook_url": f"https://bot.example/webhooks/{name}/webhook",
            "api_url": url,
        }
        for name, token in TELEGRAM.items()
    }
    return {**slacks, **telegrams}


def request(name: str) -> Post:
    """Return a signed message to an instance, with the same text and user for each."""
    if name in TELEGRAM:
        update = {"update_id": 10000, "message": telegram_table.message()}
        secret = {"X-Telegram-Bot-Api-Secret-Token": f"secret-{name}"}
        return Post(as_bytes(update), {"Content-Type": "application/json", **secret})
    body, at = as_bytes(slack_table.message()), str(slack_table.NOW)
    digest = hmac.new(SLACK[name].encode(), f"v0:{at}:".encode() + body, hashlib.sha256)
    headers = {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": at,
        "X-Slack-Signature": f"v0={digest.hexdigest()}",
    }
    return Post(body, headers)


@dataclass
class Running:
    bridge: Bridge
    service: FakeService
    """The service of all four, as Slack and Telegram each have one address."""
    broker_url: str
    responses_of: dict[str, str] = field(default_factory=dict)
    """Instance → the channel whose responses Rasa selects."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(broker: Broker) -> AsyncIterator[Running]:
    running = Running(None, FakeService(), broker.url)  # type: ignore[arg-type]

    async def handle(message: Any, output: Any) -> None:
        running.responses_of[message.channel] = output.name()
        await output.send_text_message(message.sender_id, f"from {message.channel}")

    running.service.answer = lambda call: web.json_response({"ok": True, "result": True})
    settings = BrokerSettings(broker.url, NAMESPACE, Partitions(inbound=2, replies=1))
    async with AsyncExitStack() as stack:
        await running.service.start()
        stack.push_async_callback(running.service.stop)
        receiving, delivering = (load_channels(credentials(running.service.url)) for _ in "ab")
        for name in SLACK:
            receiving[name].connector.now = (  # type: ignore[method-assign]
                lambda: float(slack_table.NOW)
            )
        running.bridge = await stack.enter_async_context(
            a_bridge(settings, receiving, delivering, handle)
        )
        yield running


@each_instance
async def test_each_instance_has_its_own_url_token_queues_and_metrics(
    name: str, running: Running
) -> None:
    before = counts(running.bridge, OTHER[name])
    assert (await running.bridge.post(name, request(name)))[0] == 200
    await running.bridge.settled("replies", name, "handled", 1)
    (call,) = [call for call in running.service.calls if f"from {name}" in str(call.body)]
    if name in SLACK:
        assert (call.path, call.headers["Authorization"]) == (
            "/api/chat.postMessage",
            f"Bearer xoxb-{name}",
        )
    else:
        assert call.path == f"/bot{TELEGRAM[name]}/sendMessage"
    assert running.responses_of[name] == name.partition("-")[0]
    async with connect(running.broker_url, "test") as connection:
        assert await connection.ready_messages(f"{NAMESPACE}.replies.{name}.00") == 0
    # The same event again: acknowledged, but not run again.
    assert (await running.bridge.post(name, request(name)))[0] == 200
    await running.bridge.settled("inbound", name, "repeated", 1)
    assert counts(running.bridge, name) == (2, 1, 1, 1)
    assert counts(running.bridge, OTHER[name]) == before


@each_instance
async def test_a_request_signed_for_one_instance_is_refused_by_the_other(
    name: str, running: Running
) -> None:
    assert (await running.bridge.post(name, request(OTHER[name])))[0] == 403
    counted = running.bridge.counted
    assert counted("requests_rejected_total", channel=name, status="403") == 1


def counts(bridge: Bridge, name: str) -> tuple[int, ...]:
    """Return the numbers of acknowledged and repeated messages, of turns, and of calls."""
    repeated = {"flow": "inbound", "channel": name, "outcome": "repeated"}
    return (
        bridge.counted("acknowledgement_seconds_count", channel=name),
        bridge.counted("messages_total", **repeated),
        bridge.counted("turn_seconds_count", channel=name),
        bridge.counted("delivery_seconds_count", channel=name),
    )


async def test_each_telegram_bot_sets_its_own_url(running: Running) -> None:
    def told() -> list[Any]:
        return [call for call in running.service.calls if call.path.endswith("/setWebhook")]

    await eventually(lambda: len(told()) == len(TELEGRAM), "both are told")
    assert {call.path: call.body for call in told()} == {
        f"/bot{token}/setWebhook": {
            "url": f"https://bot.example/webhooks/{name}/webhook",
            "secret_token": f"secret-{name}",
        }
        for name, token in TELEGRAM.items()
    }
