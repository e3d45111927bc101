"""Rasa's own channels, pointed at a fake service: what ours are compared with.

To add one: a class with `input_channel`, `output_channel` and, if its client writes bodies in a
form of its own, `body`; and a line in `RASA`.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web

from bridge.messages import Reply
from tests.integration.connectors import botframework_table, rasa_table
from tests.support.service import Call

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiogram.bot.api import TelegramAPIServer
    from rasa.core.channels import botframework, callback, rasa_chat, rest, slack, telegram
    from rasa.core.channels.channel import InputChannel, OutputChannel


class RasaChannel:
    """One of Rasa's channels, made from the same section of credentials.yml."""

    def __init__(self, section: Mapping[str, Any], url: str, now: float | None) -> None:
        self.section = dict(section)
        self.url = url
        self.now = now

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        raise NotImplementedError

    def output_channel(self, reply: Reply) -> OutputChannel:
        """Return what Rasa would send this reply through."""
        raise NotImplementedError

    async def close(self, output: OutputChannel) -> None:
        """Close what the output channel holds open."""

    def answer(self, call: Call) -> web.Response:
        """Accept a call in the way that Rasa's client expects."""
        raise NotImplementedError

    def body(self, body: Any) -> Any:
        """Return the body of a call, ours or theirs, in a form in which both can be compared."""
        return body


class BotFramework(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        # Its own asks with a client that blocks, the fake service with it.
        keys = {key["kid"]: key for key in botframework_table.KEYS["keys"]}

        def update(channel: Any) -> None:
            channel.jwt_keys, channel.jwt_update_time = keys, datetime.datetime.now()

        monkeypatch.setattr(botframework.BotFrameworkInput, "_update_cached_jwk_keys", update)
        return botframework.BotFrameworkInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> Any:
        botframework.MICROSOFT_OAUTH2_URL = self.url.rstrip("/")
        botframework.BotFramework.token_expiration_date = datetime.datetime.now()
        route = reply.route
        return InThread(
            botframework.BotFramework(
                self.section["app_id"],
                self.section["app_password"],
                {"id": route["conversation"]},
                route["bot"],
                self.url,
            )
        )

    def answer(self, call: Call) -> web.Response:
        return web.json_response(botframework_table.TABLE.accepts)


class InThread:
    """An output channel whose client blocks: a loop of its own is run in a thread."""

    def __init__(self, output: Any) -> None:
        self._output = output

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._output, name)

        async def send(*args: Any, **kwargs: Any) -> None:
            await asyncio.to_thread(lambda: asyncio.run(method(*args, **kwargs)))

        return send


class Rasa(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return rasa_chat.RasaChatInput.from_credentials(self.section)

    def answer(self, call: Call) -> web.Response:
        return web.json_response(rasa_table.TABLE.keys[call.path])


class Rest(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return rest.RestInput()


class Slack(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        monkeypatch.setattr(slack.time, "time", lambda: self.now)
        return slack.SlackInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> OutputChannel:
        channel = slack.SlackInput.from_credentials(self.section)
        route = reply.route
        output = channel.get_output_channel(route.get("channel"), route.get("thread_ts"))
        output.client.base_url = f"{self.url}api/"
        return output

    def answer(self, call: Call) -> web.Response:
        return web.json_response({"ok": True, "ts": "1.2"})


class Telegram(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        channel = telegram.TelegramInput.from_credentials(self.section)
        # Its own calls asyncio.run, which a test cannot.
        channel.get_output_channel = lambda: self._output()
        return channel

    def output_channel(self, reply: Reply) -> OutputChannel:
        return self._output()

    def _output(self) -> Any:
        self.output = telegram.TelegramOutput(self.section["access_token"])
        self.output.server = TelegramAPIServer.from_base(self.url)
        return self.output

    async def close(self, output: Any) -> None:
        await output.session.close()

    def answer(self, call: Call) -> web.Response:
        method = call.path.rpartition("/")[2]
        message = {"message_id": 1, "date": 0, "chat": {"id": 1, "type": "private"}}
        results: dict[str, Any] = {
            "getMe": {"id": 1, "is_bot": True, "first_name": "B", "username": "OurBot"},
            "sendChatAction": True,
            "sendMediaGroup": [message],
        }
        return web.json_response({"ok": True, "result": results.get(method, message)})

    def body(self, body: Any) -> Any:
        """Rasa's client sends a form of texts, ours JSON: read what can be read as JSON."""
        return {key: _read(value) for key, value in body.items()}


class Webhook(RasaChannel):
    """Rasa has none: its callback has the same bodies."""

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        monkeypatch.setattr(callback.CallbackInput, "name", lambda *_: "webhook")
        return self._input()

    def output_channel(self, reply: Reply) -> OutputChannel:
        return self._input().get_output_channel()

    def _input(self) -> Any:
        return callback.CallbackInput.from_credentials({"url": self.section["url"]})

    def answer(self, call: Call) -> web.Response:
        return web.json_response({})


def _read(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


RASA: dict[str, type[RasaChannel]] = {
    "botframework": BotFramework,
    "rasa": Rasa,
    "rest": Rest,
    "slack": Slack,
    "telegram": Telegram,
    "webhook": Webhook,
}
