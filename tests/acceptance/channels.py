"""Custom channels as users write them for `rasa run`; copied unchanged into a test's project."""

import asyncio
import contextlib

import aiohttp
from rasa.core.channels.channel import (
    CollectingOutputChannel,
    InputChannel,
    OutputChannel,
    UserMessage,
)
from rasa.core.channels.rest import RestInput
from sanic import Blueprint, response


class MyIO(RestInput):
    """As in Rasa's documentation: uses RestInput as a template."""

    def __init__(self, username=None):
        self.username = username

    @classmethod
    def name(cls):
        return "myio"

    @classmethod
    def from_credentials(cls, credentials):
        return cls((credentials or {}).get("username"))

    def get_metadata(self, request):
        return {"customer_tier": request.headers.get("x-tier"), "username": self.username}


class Collecting(InputChannel):
    """The example of Rasa's documentation, in full."""

    @classmethod
    def name(cls):
        return "collecting"

    def blueprint(self, on_new_message):
        webhook = Blueprint("collecting_webhook", __name__)

        @webhook.route("/", methods=["GET"])
        async def health(request):
            return response.json({"status": "ok"})

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            collector = CollectingOutputChannel()
            sender, text = request.json["sender"], request.json["message"]
            await on_new_message(UserMessage(text, collector, sender, input_channel=self.name()))
            return response.json(collector.messages)

        return webhook


class PostingOutput(OutputChannel):
    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return "posting"

    async def send_text_message(self, recipient_id, text, **kwargs):
        async with aiohttp.ClientSession() as session:
            await session.post(self.url, json={"recipient_id": recipient_id, "text": text})


class Posting(Collecting):
    """Answers immediately and posts its replies; its output channel can be rebuilt."""

    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return "posting"

    @classmethod
    def from_credentials(cls, credentials):
        return cls(credentials["url"])

    def get_output_channel(self):
        return PostingOutput(self.url)

    def blueprint(self, on_new_message):
        webhook = Blueprint(f"{self.name()}_webhook", __name__)

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            await self.handle(request, on_new_message)
            return response.text("taken")

        return webhook

    async def handle(self, request, on_new_message):
        output = PostingOutput(self.url)
        sender, text = request.json["sender"], request.json["message"]
        await on_new_message(UserMessage(text, output, sender, input_channel=self.name()))


class Held(Posting):
    """Like Posting, but its output channel cannot be rebuilt."""

    @classmethod
    def name(cls):
        return "held"

    def get_output_channel(self):
        return None


class Swallowing(Held):
    """Swallows errors, as several of Rasa's own channels do."""

    @classmethod
    def name(cls):
        return "swallowing"

    async def handle(self, request, on_new_message):
        with contextlib.suppress(Exception):
            await super().handle(request, on_new_message)


class Detached(Held):
    """Answers before it passes on the message, as Rasa's Slack channel does."""

    @classmethod
    def name(cls):
        return "detached"

    async def handle(self, request, on_new_message):
        self.task = asyncio.create_task(super().handle(request, on_new_message))
