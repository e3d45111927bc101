"""Rasa's own channels, pointed at a fake service, for comparison with the bridge's connectors.

To add one, write a class with `input_channel`, `output_channel` and, if its client sends bodies in
another format, `body`; and add a line to `RASA`.
"""

from __future__ import annotations

import datetime
import json
import warnings
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from bridge.messages import Reply
from tests.integration.connectors import (
    botframework_table,
    hangouts_table,
    rasa_table,
    webexteams_table,
)
from tests.support.service import Call

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from aiogram.bot.api import TelegramAPIServer
    from rasa.core.channels import (
        botframework,
        callback,
        facebook,
        hangouts,
        mattermost,
        rasa_chat,
        rest,
        rocketchat,
        slack,
        telegram,
        twilio,
        twilio_voice,
        webexteams,
    )
    from rasa.core.channels.channel import InputChannel, OutputChannel
    from webexteamssdk import WebexTeamsAPI


class RasaChannel:
    """One of Rasa's channels, built from the same section of credentials.yml."""

    blocks = False
    """Whether its client blocks, so that it runs in a thread with its own event loop."""

    def __init__(self, section: Mapping[str, Any], url: str, now: float | None) -> None:
        self.section = dict(section)
        self.url = url
        self.now = now

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        raise NotImplementedError

    def output_channel(self, reply: Reply) -> OutputChannel:
        """Return the output channel through which Rasa sends this reply."""
        raise NotImplementedError

    async def close(self, output: OutputChannel) -> None:
        """Close the output channel's connections."""

    def answer(self, call: Call) -> web.Response:
        """Accept a call as Rasa's client expects."""
        raise NotImplementedError

    def body(self, body: Any) -> Any:
        """Return the body of a call, by either side, in a comparable form."""
        return body


class Callback(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return callback.CallbackInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> OutputChannel:
        return callback.CallbackInput.from_credentials(self.section).get_output_channel()

    def answer(self, call: Call) -> web.Response:
        return web.json_response({})


class Facebook(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        # It shows users read receipts while their turn runs, with a blocking client.
        monkeypatch.setattr(facebook.MessengerClient, "send_action", lambda *_: None)
        return facebook.FacebookInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> OutputChannel:
        output = facebook.FacebookInput.from_credentials(self.section).get_output_channel()
        # The URL of an API version (2.12) that no longer exists.
        output.messenger_client.graph_url = self.section["api_url"]
        return output

    def answer(self, call: Call) -> web.Response:
        return web.json_response({"recipient_id": "1", "message_id": "m_1"})


class Hangouts(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        monkeypatch.setattr(hangouts, "CERTS_URL", f"{self.url}certs")
        return hangouts.HangoutsInput.from_credentials(self.section)

    def answer(self, call: Call) -> web.Response:
        return hangouts_table.asked(call)


class Mattermost(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return mattermost.MattermostInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> OutputChannel:
        return mattermost.MattermostBot(
            self.section["url"],
            self.section["token"],
            reply.route.get("channel_id"),
            self.section["webhook_url"],
        )

    def answer(self, call: Call) -> web.Response:
        return web.json_response({"id": "post1"})


class BotFramework(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        # The original would block the event loop, and the fake service with it.
        keys = {key["kid"]: key for key in botframework_table.KEYS["keys"]}

        def update(channel: Any) -> None:
            channel.jwt_keys, channel.jwt_update_time = keys, datetime.datetime.now()

        monkeypatch.setattr(botframework.BotFrameworkInput, "_update_cached_jwk_keys", update)
        return botframework.BotFrameworkInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> Any:
        botframework.MICROSOFT_OAUTH2_URL = self.url.rstrip("/")
        botframework.BotFramework.token_expiration_date = datetime.datetime.now()
        route = reply.route
        return botframework.BotFramework(
            self.section["app_id"],
            self.section["app_password"],
            {"id": route["conversation"]},
            route["bot"],
            self.url,
        )

    def answer(self, call: Call) -> web.Response:
        return web.json_response(botframework_table.TABLE.accepts)


class Rasa(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return rasa_chat.RasaChatInput.from_credentials(self.section)

    def answer(self, call: Call) -> web.Response:
        return web.json_response(rasa_table.KEYS[call.path])


class Webhook(RasaChannel):
    """Rasa does not have this channel; its `callback` has the same bodies."""

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        monkeypatch.setattr(callback.CallbackInput, "name", lambda *_: "webhook")
        return self._input()

    def output_channel(self, reply: Reply) -> OutputChannel:
        return self._input().get_output_channel()

    def _input(self) -> Any:
        return callback.CallbackInput.from_credentials({"url": self.section["url"]})

    def answer(self, call: Call) -> web.Response:
        return web.json_response({})


class Rest(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return rest.RestInput()


class RocketChat(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return self._channel()

    def output_channel(self, reply: Reply) -> OutputChannel:
        return self._channel().get_output_channel()

    def _channel(self) -> InputChannel:
        return rocketchat.RocketChatInput.from_credentials(self.section)

    def answer(self, call: Call) -> web.Response:
        data = {"authToken": "t", "userId": "u"}
        return web.json_response({"success": True, "status": "success", "data": data})


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
        # The original calls asyncio.run, which fails in a test.
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
        """Decode fields that contain JSON: Rasa's client sends a form, the bridge JSON."""
        return {key: _read(value) for key, value in body.items()}


class Twilio(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        return twilio.TwilioInput.from_credentials(self.section)

    def output_channel(self, reply: Reply) -> OutputChannel:
        output = twilio.TwilioInput.from_credentials(self.section).get_output_channel()
        output.api.base_url = self.url.rstrip("/")
        return output

    def answer(self, call: Call) -> web.Response:
        return web.json_response({"sid": "SM1"}, status=201)


class TwilioVoice(RasaChannel):
    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        channel = twilio_voice.TwilioVoiceInput.from_credentials(self.section)
        blueprint = channel.blueprint

        def with_agent(on_new_message: Any) -> Any:
            made = blueprint(on_new_message)
            made.listener("before_server_start")(_give_it_no_trackers)
            return made

        monkeypatch.setattr(channel, "blueprint", with_agent)
        return channel


async def _give_it_no_trackers(app: Any, _: Any) -> None:
    async def retrieve(_: str) -> None:
        return None

    app.ctx.agent = SimpleNamespace(tracker_store=SimpleNamespace(retrieve=retrieve))


class WebexTeams(RasaChannel):
    blocks = True

    def input_channel(self, monkeypatch: pytest.MonkeyPatch) -> InputChannel:
        channel = webexteams.WebexTeamsInput.from_credentials(self.section)
        channel.api = self._api()
        return channel

    def output_channel(self, reply: Reply) -> OutputChannel:
        output = webexteams.WebexTeamsBot(self.section["access_token"], self.section.get("room"))
        output.api = self._api()
        return output

    def _api(self) -> Any:
        return WebexTeamsAPI(self.section["access_token"], base_url=f"{self.section['api_url']}/")

    def answer(self, call: Call) -> web.Response:
        if call.method == "GET":
            return webexteams_table.asked(call)
        return web.json_response({"id": "bWVzc2FnZQ"})


def _read(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


RASA: dict[str, type[RasaChannel]] = {
    "botframework": BotFramework,
    "callback": Callback,
    "facebook": Facebook,
    "hangouts": Hangouts,
    "mattermost": Mattermost,
    "rasa": Rasa,
    "rest": Rest,
    "rocketchat": RocketChat,
    "slack": Slack,
    "telegram": Telegram,
    "twilio": Twilio,
    "twilio_voice": TwilioVoice,
    "webexteams": WebexTeams,
    "webhook": Webhook,
}
NOT_IN_RASA = {"whatsapp"}
"""Channels without a counterpart in Rasa."""
