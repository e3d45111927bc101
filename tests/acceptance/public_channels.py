"""Channels in the shapes of eight public ones, as users host them; copied into a test's project.

Each posts to the fake service what its service would receive. Between them: several routes, own
prefixes, `GET` handshakes, blocking clients, `get_metadata`, arguments of `get_output_channel`,
output channels that override `send_response` with and without Rasa's base class, clients of an
event loop, several events in one request, and messages without a sender.
"""

import asyncio
import json
import urllib.request

import aiohttp
from rasa.core.channels.channel import (
    CollectingOutputChannel,
    InputChannel,
    OutputChannel,
    UserMessage,
)
from sanic import Blueprint, response


def post(url, body):
    """Blocks, as `requests` and the clients of several providers do."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=30).close()


async def post_async(url, body):
    async with aiohttp.ClientSession() as session, session.post(url, json=body):
        pass


class Posting(InputChannel):
    """What all of them share: a URL."""

    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return cls.__name__.lower()

    @classmethod
    def from_credentials(cls, credentials):
        return cls(credentials["url"])


class ViberOutput(OutputChannel):
    """A blocking client; an image is a separate message."""

    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return "viber"

    async def send_text_message(self, recipient_id, text, **kwargs):
        for part in text.strip().split("\n\n"):
            post(self.url, {"receiver": recipient_id, "type": "text", "text": part})

    async def send_image_url(self, recipient_id, image, **kwargs):
        post(self.url, {"receiver": recipient_id, "type": "picture", "media": image})


class Viber(Posting):
    """Events that are no message, and a route that registers the webhook."""

    def get_output_channel(self):
        return ViberOutput(self.url)

    def blueprint(self, on_new_message):
        webhook = Blueprint("viber_webhook", __name__)

        @webhook.route("/", methods=["GET"])
        async def health(_):
            return response.json({"status": "ok"})

        @webhook.route("/set_webhook", methods=["GET"])
        async def register(_):
            return response.text("registered")

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            event = request.json
            if event["event"] == "message":
                sender, text = event["sender"]["id"], event["message"]["text"]
                out = self.get_output_channel()
                await on_new_message(UserMessage(text, out, sender, input_channel=self.name()))
            return response.text("")

        return webhook


class LineOutput(OutputChannel):
    """Answers the event with its reply token, all parts in one call."""

    def __init__(self, url, reply_token):
        self.url, self.reply_token = url, reply_token

    @classmethod
    def name(cls):
        return "line"

    async def send_response(self, recipient_id, message):
        parts = []
        if message.get("text"):
            parts.append({"type": "text", "text": message.pop("text")})
        if message.get("image"):
            parts.append({"type": "image", "originalContentUrl": message.pop("image")})
        await post_async(self.url, {"replyToken": self.reply_token, "messages": parts})


class Line(Posting):
    """Several events in one request, and an argument that only a request can give."""

    def get_output_channel(self, reply_token):
        return LineOutput(self.url, reply_token)

    def blueprint(self, on_new_message):
        webhook = Blueprint("line_webhook", __name__)

        @webhook.route("/callback", methods=["POST"])
        async def receive(request):
            if not request.headers.get("X-Line-Signature"):
                return response.text("no signature", status=400)
            for event in request.json["events"]:
                out = self.get_output_channel(event["replyToken"])
                sender, text = event["source"]["userId"], event["message"]["text"]
                await on_new_message(UserMessage(text, out, sender, input_channel=self.name()))
            return response.json({"success": True})

        return webhook


class GoogleAssistant(InputChannel):
    """Answers in the response. Its messages have no sender."""

    @classmethod
    def name(cls):
        return "google_assistant"

    def blueprint(self, on_new_message):
        webhook = Blueprint("google_webhook", __name__)

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            out = CollectingOutputChannel()
            await on_new_message(UserMessage(request.json["intent"]["query"], out))
            speech = " ".join(m["text"] for m in out.messages if "text" in m)
            return response.json({"prompt": {"firstSimple": {"speech": speech}}})

        return webhook


class Alexa(InputChannel):
    """A separate prefix, and kinds of requests that are no message."""

    @classmethod
    def name(cls):
        return "alexa_assistant"

    def url_prefix(self):
        return "voice/alexa"

    def blueprint(self, on_new_message):
        webhook = Blueprint("alexa_webhook", __name__)

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            asked = request.json["request"]
            said = "Welcome."
            if asked["type"] == "IntentRequest":
                out = CollectingOutputChannel()
                text = asked["intent"]["slots"]["text"]["value"]
                sender = request.json["session"]["user"]["userId"]
                await on_new_message(UserMessage(text, out, sender, input_channel=self.name()))
                said = out.messages[0]["text"]
            speech = {"type": "PlainText", "text": said}
            return response.json({"version": "1.0", "response": {"outputSpeech": speech}})

        return webhook


class DiscordOutput(OutputChannel):
    """One embed with text and image; its session belongs to the loop in which it is used."""

    def __init__(self, url):
        self.url = url
        self.session = None

    @classmethod
    def name(cls):
        return "discord"

    async def send_response(self, recipient_id, message):
        if self.session is None:
            self.session = aiohttp.ClientSession()
        embed = {"image": {"url": message.get("image")}}
        body = {"channel": recipient_id, "content": message.get("text"), "embeds": [embed]}
        async with self.session.post(self.url, json=body):
            pass
        await self.session.close()
        self.session = None


class Discord(Posting):
    """Interactions: a ping is answered, a command becomes a message in a task."""

    def url_prefix(self):
        return "integrations/discord"

    def get_output_channel(self):
        return DiscordOutput(self.url)

    def blueprint(self, on_new_message):
        webhook = Blueprint("discord_webhook", __name__)

        @webhook.route("/interactions", methods=["POST"])
        async def receive(request):
            event = request.json
            if event["type"] == 1:
                return response.json({"type": 1})
            sender, text = event["member"]["user"]["id"], event["data"]["options"][0]["value"]
            message = UserMessage(
                text, self.get_output_channel(), sender, input_channel=self.name()
            )
            self.task = asyncio.ensure_future(on_new_message(message))
            return response.json({"type": 5})

        return webhook


class ZaloOutput(OutputChannel):
    """A blocking client; the text of an image is its caption."""

    def __init__(self, url, token):
        self.url, self.token = url, token

    @classmethod
    def name(cls):
        return "zalo"

    async def send_response(self, recipient_id, message):
        if message.get("image"):
            image = message.pop("image")
            await self.send_image_url(recipient_id, image, caption=message.pop("text"), **message)
        else:
            await super().send_response(recipient_id, message)

    async def send_text_message(self, recipient_id, text, **kwargs):
        post(self.url, {"user_id": recipient_id, "text": text, "token": self.token})

    async def send_image_url(self, recipient_id, image, caption=None, **kwargs):
        body = {"user_id": recipient_id, "text": caption, "image": image, "token": self.token}
        post(self.url, body)


class Zalo(Posting):
    """`get_metadata`, and arguments of `get_output_channel` with defaults."""

    def get_output_channel(self, token="app-token", version=3):
        return ZaloOutput(self.url, token)

    def get_metadata(self, request):
        return {"app": request.json["app_id"], "trace": request.headers.get("x-trace")}

    def blueprint(self, on_new_message):
        webhook = Blueprint("zalo_webhook", __name__)

        @webhook.route("/webhook", methods=["GET", "HEAD"])
        async def verify(_):
            return response.text("zalo-platform-site-verification")

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            event, out = request.json, self.get_output_channel()
            metadata = self.get_metadata(request)
            sender, text = event["sender"]["id"], event["message"]["text"]
            await on_new_message(
                UserMessage(text, out, sender, input_channel=self.name(), metadata=metadata)
            )
            return response.json({"error": 0})

        return webhook


class ChatwootOutput:
    """No subclass of Rasa's; it knows the conversation of its request."""

    def __init__(self, url, conversation):
        self.url, self.conversation = url, conversation

    @classmethod
    def name(cls):
        return cls.__name__

    async def send_response(self, recipient_id, message):
        body = {"content": message.pop("text"), "attachments": [message.pop("image")]}
        await post_async(f"{self.url}/conversations/{self.conversation}/messages", body)


class Chatwoot(Posting):
    def blueprint(self, on_new_message):
        webhook = Blueprint("chatwoot_webhook", __name__)

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            event = request.json
            if event["message_type"] != "incoming":
                return response.json({"ignored": True})
            out = ChatwootOutput(self.url, event["conversation"]["id"])
            sender = f"chatwoot-{event['sender']['id']}"
            await on_new_message(
                UserMessage(event["content"], out, sender, input_channel=self.name())
            )
            return response.json({"status": "ok"})

        return webhook


class InstagramOutput(OutputChannel):
    """Extends Rasa's `send_response`."""

    def __init__(self, url):
        self.url = url

    @classmethod
    def name(cls):
        return "instagram"

    async def send_response(self, recipient_id, message):
        await self.send({"recipient": recipient_id, "sender_action": "typing_on"})
        await super().send_response(recipient_id, message)

    async def send_text_message(self, recipient_id, text, **kwargs):
        await self.send({"recipient": recipient_id, "text": text})

    async def send_image_url(self, recipient_id, image, **kwargs):
        await self.send({"recipient": recipient_id, "image": image})

    async def send(self, body):
        await post_async(self.url, body)


class Instagram(Posting):
    """Meta's handshake, and several entries in one request."""

    def get_output_channel(self):
        return InstagramOutput(self.url)

    def blueprint(self, on_new_message):
        webhook = Blueprint("instagram_webhook", __name__)

        @webhook.route("/webhook", methods=["GET"])
        async def verify(request):
            return response.text(request.args.get("hub.challenge"))

        @webhook.route("/webhook", methods=["POST"])
        async def receive(request):
            for entry in request.json["entry"]:
                for event in entry["messaging"]:
                    out = self.get_output_channel()
                    sender, text = event["sender"]["id"], event["message"]["text"]
                    await on_new_message(UserMessage(text, out, sender, input_channel=self.name()))
            return response.text("success")

        return webhook
