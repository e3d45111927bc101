"""Unchanged input channels behind the queue: Rasa's own, custom ones, and one from PyPI.

Webhook, worker and deliver are processes; the worker runs without rasa. The webhook reaches the
broker through a proxy, which the last test stops.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from aiohttp import web

from bridge.broker.connection import connect
from tests.acceptance.stack import START
from tests.integration.connectors import (
    facebook_table,
    hangouts_table,
    mattermost_table,
    slack_table,
    telegram_table,
)
from tests.integration.connectors.tables import Post, as_bytes
from tests.support.broker import Broker, free_port
from tests.support.processes import Process, Project
from tests.support.proxy import Proxy
from tests.support.service import Call, FakeService
from tests.support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
TOKEN = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
HANDLER = """
async def handle(message, output):
    # As Rasa's processor sends: with every key that a response may have.
    nothing = dict.fromkeys(("buttons", "quick_replies", "elements", "image", "attachment"))
    answer = {"text": f"you said: {message.text}", "custom": None, **nothing}
    await output.send_response(message.sender_id, answer)
"""


def rest(sender: str, text: str) -> list[Post]:
    return [Post(as_bytes({"sender": sender, "message": text}), JSON)]


def telegram(sender: str, text: str) -> list[Post]:
    chat = {**telegram_table.PRIVATE, "id": int(sender)}
    return [telegram_table.update(chat=chat, text=text)]


def slack(sender: str, text: str) -> list[Post]:
    body = as_bytes(slack_table.message(user=f"U{sender}", text=text))
    return [slack_table.signed(body, "application/json", at=int(time.time()))]


def facebook(sender: str, text: str) -> list[Post]:
    said = facebook_table.message(text=text)
    return [facebook_table.post(facebook_table.batch({**said, "sender": {"id": sender}}))]


def mattermost(sender: str, text: str) -> list[Post]:
    return [Post(as_bytes(mattermost_table.hook(user_id=sender, text=f"@rasa {text}")), JSON)]


def hangouts(sender: str, text: str) -> list[Post]:
    event = hangouts_table.said(text, space=hangouts_table.DM)
    event["message"]["sender"] = {"displayName": sender}
    return [Post(as_bytes(event), JSON)]


def audiocodes(sender: str, text: str) -> list[Post]:
    """Return the requests for the start of a call and for the caller's first words."""
    headers = {**JSON, "Authorization": "Bearer call-token"}
    activity = {"id": f"{sender} {text}", "type": "message", "text": text}
    return [
        Post(as_bytes({"conversation": sender}), headers),
        Post(
            as_bytes({"conversation": sender, "activities": [activity]}),
            headers,
            path=f"conversation/{sender}/activities",
        ),
    ]


@dataclass(frozen=True)
class Wrapped:
    """A channel, and how it sends replies."""

    name: str
    section: Callable[..., dict[str, Any]]
    """Returns the section of credentials.yml for the URL of the fake service."""
    requests: Callable[[str, str], Sequence[Post]]
    """Returns the requests for a sender (digits) and a text, which the last request carries."""
    key: str = ""
    """Key in credentials.yml; default the name."""
    answers: str = "by deliver"
    """Or "by the webhook", or "in the response"."""
    calls: str = ""
    """Path of the call that carries the reply."""


CHANNELS = [
    Wrapped(
        "telegram",
        lambda url: {"access_token": TOKEN, "verify": "OurBot", "webhook_url": "https://x.org"},
        telegram,
        "rasa.core.channels.telegram.TelegramInput",
        calls=f"/bot{TOKEN}/sendMessage",
    ),
    Wrapped(
        "slack",
        lambda url: {"slack_token": "xoxb-1", "slack_signing_secret": slack_table.SECRET},
        slack,
        "rasa.core.channels.slack.SlackInput",
        calls="/api/chat.postMessage",
    ),
    Wrapped(
        "facebook",
        lambda url: {"verify": "v", "secret": facebook_table.SECRET, "page-access-token": "EAA"},
        facebook,
        "rasa.core.channels.facebook.FacebookInput",
        calls="/graph/me/messages",
    ),
    Wrapped(
        "callback",
        lambda url: {"url": f"{url}callback"},
        rest,
        "rasa.core.channels.callback.CallbackInput",
        calls="/callback",
    ),
    Wrapped(
        "mattermost",
        lambda url: {"url": f"{url}mm", "token": "t", "webhook_url": "https://x.org"},
        mattermost,
        "rasa.core.channels.mattermost.MattermostInput",
        answers="by the webhook",
        calls="/mm/posts",
    ),
    Wrapped(
        "hangouts",
        lambda url: {},
        hangouts,
        "rasa.core.channels.hangouts.HangoutsInput",
        answers="in the response",
    ),
    Wrapped(
        "audiocodes",
        lambda url: {"token": "call-token"},
        audiocodes,
        "rasa_audiocodes.AudiocodesInput",
        answers="in the response",
    ),
    *[
        Wrapped(
            f"my-io-{n}",
            lambda url: {"channel": "channels.MyIO", "username": "u"},
            rest,
            answers="in the response",
        )
        for n in "ab"
    ],
    *[
        Wrapped(
            f"posting-{n}",
            lambda url, n=n: {"channel": "channels.Posting", "url": f"{url}posting-{n}"},
            rest,
            calls=f"/posting-{n}",
        )
        for n in "ab"
    ],
    *[
        Wrapped(
            name.lower(),
            lambda url, name=name: {"url": f"{url}{name.lower()}"},
            rest,
            f"channels.{name}",
            answers="by the webhook",
            calls=f"/{name.lower()}",
        )
        for name in ("Held", "Swallowing", "Detached")
    ],
]
BY_NAME = {channel.name: channel for channel in CHANNELS}

each_channel = pytest.mark.parametrize("channel", CHANNELS, ids=list(BY_NAME))


@dataclass
class Running:
    project: Project
    service: FakeService
    http: aiohttp.ClientSession
    base: str
    webhook: Process
    proxy: Proxy

    async def say(self, name: str, sender: str, text: str) -> tuple[int, str, dict[str, str]]:
        """Send a text to a channel; return status, body and headers of the last response."""
        answered: Any = None
        for post in BY_NAME[name].requests(sender, text):
            url = f"{self.base}/webhooks/{name}/{post.path}"
            async with self.http.post(url, data=post.body, headers=post.headers) as response:
                answered = response.status, await response.text(), dict(response.headers)
        return answered  # type: ignore[no-any-return]

    def heard(self, text: str) -> list[Call]:
        return [call for call in self.service.accepted if f"you said: {text}" in str(call.body)]


def accept(call: Call) -> web.Response:
    """Answer like each of the services."""
    if call.path.startswith("/bot"):
        bot = {"id": 1, "is_bot": True, "first_name": "B", "username": "OurBot"}
        message = {"message_id": 1, "date": 0, "chat": {"id": 1, "type": "private"}}
        result = bot if call.path.endswith("getMe") else message
        return web.json_response({"ok": True, "result": result})
    return web.json_response({"ok": True, "ts": "1.2", "id": "1"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    service, proxy = FakeService(), Proxy(broker.port)
    service.answer = accept
    await asyncio.gather(service.start(), proxy.start())
    project = Project(tmp_path_factory.mktemp("wrapped"), broker.url, f"test{free_port()}")
    for module in ("channels.py", "pointing.py"):
        shutil.copy(Path(__file__).with_name(module), project.directory / module)
    sections = {c.key or c.name: c.section(service.url) for c in CHANNELS}
    project.write(
        "credentials.yml", yaml.safe_dump({"pointing.Pointing": {}, **sections}, sort_keys=False)
    )
    project.write("handlers.py", HANDLER)
    endpoints = (project.directory / "endpoints.yml").read_text()
    project.write("proxied.yml", endpoints.replace(f":{broker.port}/", f":{proxy.port}/"))
    port, pointed = free_port(), {"FAKE_SERVICE": service.url}
    try:
        webhook = project.bridge(
            *("webhook", "-i", "127.0.0.1", "-p", str(port), "--endpoints", "proxied.yml"),
            env=pointed,
        )
        deliver = project.bridge("deliver", env=pointed)
        await project.worker("--handler", "handlers:handle")
        await deliver.prints("consuming", patience=START)
        await webhook.prints("listening on", patience=START)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE)) as http:
            base = f"http://127.0.0.1:{port}"
            yield Running(project, service, http, base, webhook, proxy)
    finally:
        project.close()
        await asyncio.gather(service.stop(), proxy.stop())


@each_channel
async def test_a_message_is_answered_as_without_the_queue(
    channel: Wrapped, running: Running
) -> None:
    text = f"hello {channel.name}"
    status, answer, _ = await running.say(channel.name, "4711", text)
    assert status == 200, answer
    queue = f"{running.project.namespace}.replies.{channel.name}.00"
    async with connect(running.project.broker_url, "test") as connection:
        has_queues = await connection.ready_messages(queue) is not None
    assert has_queues == (channel.answers == "by deliver")
    if channel.answers == "in the response":
        assert f"you said: {text}" in json.dumps(json.loads(answer))
        return
    await eventually(lambda: running.heard(text), f"{channel.name} answers")
    (call,) = running.heard(text)
    assert call.path == channel.calls


@pytest.mark.parametrize(("name", "other"), [("facebook", "callback"), ("mattermost", "held")])
async def test_a_blocking_client_delays_only_its_own_recipient(
    name: str, other: str, running: Running
) -> None:
    """Rasa's Facebook channel blocks in deliver, its Mattermost channel in the webhook process."""
    released = asyncio.Event()

    async def answer(call: Call) -> web.Response:
        if "you said: slow" in str(call.body):
            await released.wait()
        return accept(call)

    running.service.answer = answer
    try:
        await running.say(name, "666", f"slow {name}")
        await eventually(
            lambda: [c for c in running.service.calls if f"slow {name}" in str(c.body)]
        )
        for channel in (name, other):
            status, _, _ = await running.say(channel, "4711", f"quick {name} {channel}")
            assert status == 200
        await eventually(lambda: running.heard(f"quick {name} {name}"))
        await eventually(lambda: running.heard(f"quick {name} {other}"))
        assert not running.heard(f"slow {name}")
    finally:
        released.set()
        running.service.answer = accept
    await eventually(lambda: running.heard(f"slow {name}"))


async def test_no_channel_answers_200_for_a_message_that_is_not_on_the_queue(
    running: Running,
) -> None:
    """The last test of this file: it cuts the webhook off from the broker."""
    await running.proxy.stop()
    await running.webhook.prints("not connected: ", count=2)
    for channel in CHANNELS:
        status, answer, headers = await running.say(channel.name, "4712", "quokka")
        assert status == 503, channel.name
        assert "send it again" in json.loads(answer)["error"], channel.name
        assert int(headers["Retry-After"]) > 0, channel.name
    assert "quokka" not in running.webhook.log
