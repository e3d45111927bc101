"""`conversation_prefix`: users who choose their id cannot write into another conversation."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from bridge.connectors.registry import load_channel, load_channels
from bridge.connectors.warnings import warnings_of
from bridge.errors import SettingsError
from bridge.settings.files import BrokerSettings, Partitions
from tests.integration.connectors import telegram_table
from tests.integration.connectors.tables import Post, as_bytes
from tests.integration.connectors.through import Bridge, a_bridge
from tests.support.broker import Broker
from tests.support.service import FakeService
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = str(telegram_table.PRIVATE["id"])


class Running:
    def __init__(self) -> None:
        self.service = FakeService()
        self.bridge: Bridge
        self.conversations: list[tuple[str, str]] = []

    async def say(self, channel: str) -> str:
        body = as_bytes({"sender": USER, "message": "hello"})
        status, answer = await self.bridge.post(channel, Post(body, telegram_table.HEADERS))
        assert status == 200, answer
        return answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(broker: Broker) -> AsyncIterator[Running]:
    running = Running()

    async def handle(message: Any, output: Any) -> None:
        running.conversations.append((message.channel, message.sender_id))
        await output.send_text_message(message.sender_id, f"to {message.sender_id}")

    running.service.answer = lambda call: web.json_response({"ok": True, "result": True})
    async with AsyncExitStack() as stack:
        await running.service.start()
        stack.push_async_callback(running.service.stop)
        url = running.service.url
        sections = {
            "telegram": telegram_table.TABLE.section(url),
            "rest": {"conversation_prefix": "web:"},
            "callback": {"url": f"{url}hook", "conversation_prefix": "app/"},
        }
        settings = BrokerSettings(broker.url, "prefixes", Partitions(inbound=2, replies=1))
        receiving, delivering = (load_channels(sections) for _ in "ab")
        running.bridge = await stack.enter_async_context(
            a_bridge(settings, receiving, delivering, handle)
        )
        yield running


async def test_the_same_id_is_another_conversation_in_each_channel(running: Running) -> None:
    update = {"update_id": 10000, "message": telegram_table.message()}
    telegram = Post(as_bytes(update), telegram_table.HEADERS)
    assert (await running.bridge.post("telegram", telegram))[0] == 200
    answer = json.loads(await running.say("rest"))
    await running.say("callback")
    assert answer == [{"recipient_id": USER, "text": f"to web:{USER}"}]
    await eventually(lambda: len(running.service.accepted) == 2)
    called = {call.path.rpartition("/")[2]: call.body for call in running.service.accepted}
    assert called["hook"] == {"recipient_id": USER, "text": f"to app/{USER}"}
    assert str(called["sendMessage"]["chat_id"]) == USER
    assert sorted(running.conversations) == [
        ("callback", f"app/{USER}"),
        ("rest", f"web:{USER}"),
        ("telegram", USER),
    ]


def warned(sections: dict[str, dict[str, Any]]) -> list[str]:
    channels = load_channels(sections)
    return [
        name
        for name, channel in channels.items()
        if any("conversation_prefix" in text for text in warnings_of(channel, channels.values()))
    ]


CALLBACK = {"url": "https://app.example"}
TELEGRAM = telegram_table.TABLE.section("http://x/")


@pytest.mark.parametrize(
    ("sections", "names"),
    [
        ({"rest": {}}, []),
        ({"telegram": TELEGRAM}, []),
        ({"rest": {}, "telegram": TELEGRAM}, ["rest"]),
        ({"rest": {}, "callback": CALLBACK}, ["rest", "callback"]),
        ({"rest": {"token": "t"}, "telegram": TELEGRAM}, []),
        ({"rest": {"conversation_prefix": "web:"}, "telegram": TELEGRAM}, []),
        ({"socketio": {}, "telegram": TELEGRAM}, []),
        ({"socketio": {"session_persistence": True}, "telegram": TELEGRAM}, ["socketio"]),
        (
            {"socketio": {"session_persistence": True, "jwt_key": "k" * 32}, "telegram": TELEGRAM},
            ["socketio"],
        ),
    ],
)
async def test_a_start_warns_of_channels_whose_users_choose_their_id(
    sections: dict[str, dict[str, Any]], names: list[str]
) -> None:
    assert warned(sections) == names


@pytest.mark.parametrize("prefix", ["", " ", None, 5, ["a"], "a b", "a\n", "x" * 65, "ü\x00"])
async def test_a_prefix_is_a_short_word(prefix: Any) -> None:
    with pytest.raises(SettingsError, match="'conversation_prefix'"):
        load_channel("rest", {"conversation_prefix": prefix})


async def test_prefixes_cannot_imitate_each_other() -> None:
    def both(one: str, other: str) -> None:
        load_channels(
            {
                "rest": {"conversation_prefix": one},
                "callback": {**CALLBACK, "conversation_prefix": other},
            }
        )

    both("web:", "app:")
    both("web:", "web:")
    for one, other in (("web", "web:"), ("a:b:", "a:")):
        with pytest.raises(SettingsError, match="begins with another channel's"):
            both(one, other)
