"""What code of a custom InputChannel may expect, as in `rasa run`: URL, agent, replies."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from sanic import Sanic

from bridge.connectors.registry import load_channels
from bridge.errors import SettingsError
from bridge.webhook.server import create_app
from tests.integration.connectors.runner import Inbox, serving
from tests.support.fakes import FakePublisher
from tests.support.waiting import eventually

CHANNELS = """
import asyncio
from collections import deque
from types import SimpleNamespace
from sanic import Blueprint, response


class CollectingOutputChannel:
    def __init__(self):
        self.messages = []

    def name(self):
        return "collector"

    async def send_text_message(self, recipient_id, text, **kwargs):
        self.messages.append({"recipient_id": recipient_id, "text": text})


class Asks:
    prefix = "asks"

    @classmethod
    def name(cls):
        return cls.__name__.lower()

    @classmethod
    def from_credentials(cls, credentials):
        return cls()

    def url_prefix(self):
        return self.prefix

    def get_output_channel(self):
        return CollectingOutputChannel()

    def blueprint(self, on_new_message):
        blueprint = Blueprint(f"{self.name()}_webhook")

        @blueprint.post("/webhook")
        async def receive(request):
            replies = await on_new_message(
                SimpleNamespace(
                    text=request.json["message"],
                    sender_id=request.json["sender"],
                    output_channel=CollectingOutputChannel(),
                    message_id="m-1",
                    input_channel=None,
                    parse_data=None,
                    metadata=None,
                )
            )
            return response.json(replies)

        @blueprint.post("/agent")
        async def use_agent(request):
            try:
                await request.app.ctx.agent.handle_message("hello")
            except Exception:
                if "raise" in request.args:
                    raise
            return response.text("hidden")

        return blueprint


class Kept:
    def __init__(self, **kept):
        vars(self).update(kept)

    def name(self):
        return "kept"

    async def send_text_message(self, recipient_id, text, **kwargs):
        for name, value in vars(self).items():
            if isinstance(value, asyncio.Queue):
                value.put_nowait(text)
            elif isinstance(value, str):
                setattr(self, name, value + text)
            else:
                value.append(text)


class Keeps(Asks):
    # Answers with what its output channel has kept by the time `on_new_message` returns.
    prefix = "keeps"
    made = {
        "list": lambda: Kept(replies=[]),
        "deque": lambda: Kept(answers=deque()),
        "queue": lambda: Kept(_out=asyncio.Queue()),
        "text": lambda: Kept(said=""),
    }

    def get_output_channel(self):
        return None

    def blueprint(self, on_new_message):
        blueprint = Blueprint(f"{self.name()}_webhook")

        @blueprint.post("/webhook")
        async def receive(request):
            output = self.made[request.json["message"]]()
            returned = await on_new_message(
                SimpleNamespace(
                    text=request.json["message"],
                    sender_id=request.json["sender"],
                    output_channel=output,
                    message_id="m-1",
                    input_channel=None,
                    parse_data=None,
                    metadata=None,
                )
            )
            (kept,) = vars(output).values()
            if isinstance(kept, asyncio.Queue):
                kept = [kept.get_nowait() for _ in range(kept.qsize())]
            return response.json([returned, list(kept)])

        return blueprint


class Sends:
    def name(self):
        return "sends"


class AlsoSends(Keeps):
    prefix = "alsosends"

    def get_output_channel(self):
        return Sends()


class Elsewhere(Asks):
    prefix = "company/elsewhere"


class Absolute(Asks):
    prefix = "/bot"


class Same(Asks):
    prefix = "rest"
"""
HELLO = {"sender": "ada", "message": "hello"}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "rasa_like.py").write_text(CHANNELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Sanic.test_mode = True
    yield
    Sanic.test_mode = False


@asynccontextmanager
async def a_server(*sections: str, **keys: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    named: dict[str, dict[str, Any]] = dict.fromkeys(sections, keys)
    channels = load_channels({**named, "second": {"channel": "rasa_like.Elsewhere"}})
    inbox = Inbox(FakePublisher(), "asks")
    inbox.replies = [{"text": "one"}, {"text": "two"}]
    node: Any = SimpleNamespace(inbox=inbox, problem=lambda: None)
    async with serving(create_app(node, channels)) as url, aiohttp.ClientSession() as http:
        yield http, url


async def test_a_channel_is_served_at_its_url_prefix() -> None:
    names = ("Asks", "Elsewhere", "Absolute")
    async with a_server(*(f"rasa_like.{name}" for name in names)) as (http, url):
        for path in ("webhooks/asks", "webhooks/company/elsewhere", "bot", "webhooks/second"):
            async with http.post(f"{url}/{path}/webhook", json=HELLO) as response:
                assert response.status == 200, path
        for path in ("webhooks/elsewhere", "webhooks/absolute"):
            async with http.post(f"{url}/{path}/webhook", json=HELLO) as response:
                assert response.status == 404, path


def test_two_channels_cannot_have_one_url() -> None:
    with pytest.raises(SettingsError, match=r"its URL /webhooks/rest is that of the channel 'rest"):
        load_channels({"rest": {}, "rasa_like.Same": {}})


async def test_on_new_message_returns_the_collected_replies() -> None:
    async with (
        a_server("rasa_like.Asks") as (http, url),
        http.post(f"{url}/webhooks/asks/webhook", json=HELLO) as response,
    ):
        assert await response.json() == [
            {"recipient_id": "ada", "text": text} for text in ("one", "two")
        ]


@pytest.mark.parametrize("channel", ["Keeps", "AlsoSends"])
@pytest.mark.parametrize("kind", ["list", "deque", "queue"])
async def test_a_channel_may_keep_its_replies_under_any_name(channel: str, kind: str) -> None:
    """`AlsoSends` can rebuild an output channel of another class, for other requests."""
    hello = {**HELLO, "message": kind}
    async with (
        a_server(f"rasa_like.{channel}") as (http, url),
        http.post(f"{url}/webhooks/{channel.lower()}/webhook", json=hello) as response,
    ):
        assert await response.json() == [None, ["one", "two"]]


async def test_a_channel_that_collects_unrecognised_is_named_in_the_log_with_its_option(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hello = {**HELLO, "message": "text"}
    async with (
        a_server("rasa_like.Keeps") as (http, url),
        http.post(f"{url}/webhooks/keeps/webhook", json=hello) as response,
    ):
        assert await response.json() == [None, []]
        await eventually(lambda: "collects: true" in caplog.text)
    assert caplog.text.count("keeps replies in 'said'") == 1
    caplog.clear()
    async with (
        a_server("rasa_like.Keeps", bridge={"collects": True}) as (http, url),
        http.post(f"{url}/webhooks/keeps/webhook", json=hello) as response,
    ):
        assert await response.json() == [None, list("onetwo")]
    assert "collects" not in caplog.text


@pytest.mark.parametrize(("query", "status"), [("?raise=1", 500), ("", 200)])
async def test_the_agent_is_an_error_that_names_the_way_out_even_if_the_channel_catches_it(
    query: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with (
        a_server("rasa_like.Asks") as (http, url),
        http.post(f"{url}/webhooks/asks/agent{query}") as response,
    ):
        assert response.status == status
    assert "app.ctx.agent.handle_message: a webhook process has no agent" in caplog.text
    assert "await on_new_message()" in caplog.text
    assert "bridge.QueueInput" in caplog.text
