"""Rasa's HTTP API: each call becomes a message with a command, which a worker answers.

A call that changes a conversation takes its place in the lane of the conversation. A call that only
reads has a lane for itself. `worker.api` implements the commands.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from sanic import Request as SanicRequest, Sanic
from sanic.response import HTTPResponse

import bridge
from bridge.connectors.registry import Channel
from bridge.connectors.toolkit.error_responses import error_response
from bridge.connectors.toolkit.ids import sent_id
from bridge.connectors.toolkit.refreshed import Refreshed
from bridge.connectors.toolkit.request import Request, plain_request
from bridge.errors import BridgeError, BrokerError, RequestRejected, TurnFailed
from bridge.http.responses import json_response, text_response
from bridge.messages import (
    HIGH,
    NORMAL,
    Command,
    InboundMessage,
    commanding,
    trace_context,
)
from bridge.settings.api import ApiSettings
from bridge.telemetry import logs
from bridge.webhook.api_access import ApiAccess
from bridge.webhook.inbox import QueueInbox

CHANNEL = "http-api"
"""`InboundMessage.channel` of the calls; no section of credentials.yml."""
CONVERSATION = "/conversations/<conversation_id:path>"
VERSION_SECONDS = 60.0
"""Seconds for which the answer of /version is kept: anyone may ask."""


class Route(NamedTuple):
    """One route of the API, and the command that answers it."""

    method: str
    path: str
    command: str
    reads: bool = False


VERSION = Route("GET", "/version", "version", reads=True)
ROUTES = (
    Route("POST", f"{CONVERSATION}/trigger_intent", "trigger_intent"),
    Route("POST", f"{CONVERSATION}/execute", "execute"),
    Route("POST", f"{CONVERSATION}/messages", "messages"),
    Route("POST", f"{CONVERSATION}/predict", "predict"),
    Route("POST", f"{CONVERSATION}/tracker/events", "append_events"),
    Route("PUT", f"{CONVERSATION}/tracker/events", "replace_events"),
    Route("GET", f"{CONVERSATION}/tracker", "tracker", reads=True),
    Route("GET", f"{CONVERSATION}/story", "story", reads=True),
    Route("POST", "/model/parse", "parse", reads=True),
    Route("POST", "/model/predict", "predict_events", reads=True),
    Route("GET", "/status", "status", reads=True),
    VERSION,
    Route("GET", "/domain", "domain", reads=True),
)
NO_WORKER = RequestRejected(503, "No worker has answered.", fix="send it again later")
NOT_SERVED = {
    ("POST", "/model/train"): "use 'rasa train'",
    ("POST", "/model/test/stories"): "use 'rasa test'",
    ("POST", "/model/test/intents"): "use 'rasa test nlu'",
    ("PUT", "/model"): "name a model server in endpoints.yml (models), or restart the workers",
    ("DELETE", "/model"): "stop the workers: messages wait in their queues",
}
"""Routes of Rasa that need one particular process, while a call here reaches any worker; and what
to do instead."""
WITH_MESSAGES = ("trigger_intent", "execute")
"""Commands that answer `{"tracker", "messages"}`; the others on a conversation, the tracker."""


class Api:
    """Sends calls to the workers, and returns their answers."""

    def __init__(
        self, settings: ApiSettings, inbox: QueueInbox, channels: Mapping[str, Channel]
    ) -> None:
        """
        Raises:
            SettingsError: `jwt_method` is not an algorithm that signs.
        """
        self.access = ApiAccess(settings)
        self._timeout = settings.timeout
        self._inbox = inbox
        self._channels = channels
        self._version: bytes | None = None
        self._version_at = 0.0
        """The answer of /version, and when it came (monotonic clock)."""
        self._versions = Refreshed(self._fetch_version, time.monotonic)

    def add_routes(self, app: Sanic[Any, Any]) -> None:
        """Serve the API in an application."""
        for route in ROUTES:
            app.add_route(
                self._handler(route),
                route.path,
                methods=[route.method],
                name=f"api_{route.command}",
            )
        for (method, path), instead in NOT_SERVED.items():
            name = f"api_not_served_{method}_{path.strip('/').replace('/', '_')}"
            app.add_route(self._not_served(instead), path, methods=[method], name=name)

    def _handler(self, route: Route) -> Any:
        async def handle(request: SanicRequest, conversation_id: str | None = None) -> HTTPResponse:
            # Sanic's own option does nothing for a parameter that may hold slashes.
            conversation = None if conversation_id is None else unquote(conversation_id)
            with logs.bound(channel=CHANNEL):
                try:
                    if route is VERSION:
                        return await self._cached_version()
                    incoming = plain_request(request)
                    self.access.check(incoming, conversation)
                    return await self._answered(route, incoming, conversation)
                except BridgeError as error:
                    return failure(error)

        return handle

    def _not_served(self, instead: str) -> Any:
        async def refuse(request: SanicRequest) -> HTTPResponse:
            try:
                self.access.check(plain_request(request), None)
            except BridgeError as error:
                return failure(error)
            return failure(
                RequestRejected(501, "the bridge does not serve this route", fix=instead)
            )

        return refuse

    async def _cached_version(self) -> HTTPResponse:
        """Answer as the latest worker that was asked: what anyone may ask costs few messages."""
        await self._versions.refresh(
            lambda: time.monotonic() - self._version_at > VERSION_SECONDS or not self._version,
            lambda: self._version is not None,
        )
        return text_response((self._version or b"").decode(), content_type="application/json")

    async def _fetch_version(self) -> None:
        try:
            answer = await self._asked(Command(VERSION.command, {}, reads=True), None, None)
        except (BrokerError, TurnFailed) as error:
            raise NO_WORKER from error
        if answer is None:
            raise NO_WORKER
        self._version, self._version_at = answer["body"].encode(), time.monotonic()

    async def _answered(
        self, route: Route, request: Request, conversation: str | None
    ) -> HTTPResponse:
        query = {key: value for key, value in request.query.items() if key != "token"}
        arguments: dict[str, Any] = {"query": query}
        if request.body:
            arguments["body"] = request.json()
        if route.command == "domain":
            query["format"] = wanted_format(request)
        if conversation is not None and not route.reads:
            arguments["channels"] = outputs(self._channels, conversation)
        command = Command(route.command, arguments, route.reads)
        answer = await self._asked(command, request, conversation)
        if answer is None:
            # It ran before, in this worker. Its effect is there, its replies are not kept.
            read = Command("tracker", {"query": query}, reads=True)
            answer = await self._asked(read, None, conversation)
            if answer is not None and route.command in WITH_MESSAGES:
                answer["body"] = f'{{"tracker": {answer["body"]}, "messages": []}}'
        if answer is None:
            raise TurnFailed(500, "no worker has answered")
        return text_response(answer["body"], answer["status"], content_type=answer["content_type"])

    async def _asked(
        self, command: Command, request: Request | None, conversation: str | None
    ) -> dict[str, Any] | None:
        """Return the answer of a worker: `body`, `status` and `content_type`.

        None if the call was completed before.

        Raises:
            BrokerError: the call was not confirmed.
            TurnFailed: it failed, or its answer is late.
        """
        headers = request.headers if request else {}
        # A read has no effect that must not be repeated, and each one needs an answer.
        id = None if command.reads else sent_id(headers)
        id = id or uuid.uuid4().hex
        message = InboundMessage(
            id=id,
            channel=CHANNEL,
            # Without a conversation, any worker may answer.
            sender_id=id if conversation is None else conversation,
            text="",
            input_channel=CHANNEL,
            output_channel="collector",
            # In the order of the conversation's messages; a read has no order to keep.
            priority=HIGH if command.reads else NORMAL,
            **trace_context(headers),
        )
        replies = self._inbox.collect(commanding(message, command), self._timeout)
        await replies.enqueued()
        answer: dict[str, Any] | None = None
        async for reply in replies:
            answer = reply.content
        return answer


def wanted_format(request: Request) -> str:
    """Return the format in which a request accepts the domain.

    Raises:
        RequestRejected: 406.
    """
    accepted = request.headers.get("accept", "*/*")
    if accepted.endswith(("json", "*/*")):
        return "json"
    if accepted.endswith(("yml", "yaml")):
        return "yaml"
    raise RequestRejected(406, "The domain is served as application/json or application/x-yaml.")


def outputs(channels: Mapping[str, Channel], conversation: str) -> dict[str, dict[str, Any]]:
    """Return, by the names that `output_channel` may have, how a conversation is answered.

    The names are the key of a channel and Rasa's name of it. Channels that answer in the response
    of a request are left out, as in Rasa.
    """
    found: dict[str, dict[str, Any]] = {}
    for channel in channels.values():
        connector = channel.connector
        if not channel.has_reply_queues or not conversation.startswith(
            connector.conversation_prefix
        ):
            continue
        where: dict[str, Any] = {
            "channel": channel.name,
            "input_channel": connector.name,
            "output_channel": connector.output_name or connector.name,
        }
        if connector.whole_responses:
            where["whole_responses"] = True
        found[channel.name] = where
        if connector.name not in channels:
            found.setdefault(connector.name, where)
    return found


REASONS = {
    400: "BadRequest",
    401: "NotAuthenticated",
    403: "NotAuthorized",
    406: "NotAcceptable",
    413: "PayloadTooLarge",
    500: "ConversationError",
    501: "NotImplemented",
    503: "Unavailable",
    504: "Timeout",
}
"""Status → `reason` in the body of an error."""


def failure(error: BridgeError) -> HTTPResponse:
    """Return the response for an error, with the body of Rasa's `ErrorResponse`."""
    plain = error_response(error)
    status = plain.status
    message = str(error) if isinstance(error, (RequestRejected, TurnFailed)) else ""
    body: dict[str, Any] = {
        "version": bridge.__version__,
        "status": "failure",
        "message": message or "Not accepted; nothing is lost if you send it again.",
        "reason": REASONS.get(status, "UnexpectedError"),
        "details": {},
        "help": None,
        "code": status,
    }
    later = {k: v for k, v in plain.headers.items() if k.lower() == "retry-after"}
    return json_response(body, status, later)
