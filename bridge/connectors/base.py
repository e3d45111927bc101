"""What a connector is: one external service, both ways. Knows nothing of AMQP, imports no rasa."""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sanic import Blueprint, Request as SanicRequest
from sanic.response import HTTPResponse, json as json_response, text as text_response

from bridge.connectors.toolkit.error_responses import answer_errors
from bridge.connectors.toolkit.replies import paragraphs
from bridge.connectors.toolkit.request import Request, plain_request
from bridge.errors import RequestRejected
from bridge.messages import InboundMessage, Reply
from bridge.settings.sections import build

if TYPE_CHECKING:
    from bridge.http.client import HttpClient

__all__ = [
    "Collected",
    "Connector",
    "EventReceiver",
    "EventSender",
    "Inbox",
    "Request",
    "Verification",
]

ID_HEADERS = ("idempotency-key", "webhook-id")
"""Headers that carry a sender's own id of an event: the IETF draft's and Standard Webhooks'."""


class Inbox(Protocol):
    """The queue, as a connector sees it: what it is given in place of Rasa's `on_new_message`."""

    async def enqueue(self, message: InboundMessage) -> None:
        """Return once the broker has confirmed the message.

        Raises:
            BrokerError: it was not confirmed; the sender must be told to send again (503).
        """

    def collect(self, message: InboundMessage, timeout: float) -> Collected:
        """Enqueue a message and collect the replies of its turn; for synchronous channels."""


class EventSender(Protocol):
    """The way to the sockets of a channel's clients, as `deliver` sees it."""

    async def send(self, id: str, event: bytes) -> None:
        """Return once every webhook process that serves the channel has, or will get, an event.

        Sent twice with the same `id`, it reaches them once.

        Raises:
            ServiceUnavailable: it was not confirmed, or there is no such process.
        """


class EventReceiver(Protocol):
    """The events for sockets of a channel's clients, as a webhook process sees them."""

    receives: bool
    """Whether events for this process are kept; once they are, they stay so."""

    def events(self) -> AsyncIterator[bytes]:
        """Yield each event; it is settled when the next one is asked for."""


class Collected(Protocol):
    """The replies of one turn, on their way to whoever waits for them."""

    async def enqueued(self) -> None:
        """Return once the broker has confirmed the message.

        Raises:
            BrokerError: it was not confirmed.
        """

    def __aiter__(self) -> AsyncIterator[Reply]:
        """Yield each reply of the turn.

        Raises:
            TurnFailed: the turn was set aside, or did not end in time.
        """


@dataclass(frozen=True)
class Verification:
    """How a channel knows who posts to it."""

    by: str
    """What is checked: 'signature', 'token'."""
    key: str = ""
    """Key of credentials.yml without which nothing is; '' if there is no channel without it."""
    otherwise: str = "whoever knows the URL can write as any user"
    """What it means if nothing is checked."""


class Connector(ABC):
    """One external service, both ways.

    A subclass states in `__init__` which keys of credentials.yml it needs, with types.
    """

    name: ClassVar[str]
    """Rasa's name of the channel: the key in credentials.yml and the last part of the URL."""
    output_name: ClassVar[str] = ""
    """`OutputChannel.name()` of Rasa's own channel, if it is not `name`."""
    synchronous: ClassVar[bool] = False
    """It answers in the HTTP response: it has no reply queues, and `deliver` is not called."""
    verification: ClassVar[Verification | None] = None
    """What `verify` checks, for people to read; see `verifies`."""

    has_sockets: ClassVar[bool] = False
    """Its clients hold sockets at webhook processes: its calls are events, sent by `sender`."""

    sender: EventSender
    """Set in `deliver`, if it `has_sockets`."""
    receiver: EventReceiver
    """Set in a webhook process, if it `has_sockets`."""
    channel: str = ""
    """Key in credentials.yml; set by the registry."""

    @property
    def collects(self) -> bool:
        """Whether it may call `Inbox.collect`."""
        return self.synchronous

    @classmethod
    def from_credentials(cls, credentials: Mapping[str, Any]) -> Connector:
        """Return the connector that a section of credentials.yml describes.

        Raises:
            SettingsError: a key is unknown, missing or of a wrong type.
        """
        return build(cls, credentials)

    def served_at(self) -> str:
        """Path to which the service posts."""
        return f"/webhooks/{self.channel}/webhook"

    def verifies(self) -> bool:
        """Whether `verify` checks anything: the key of `verification` is there."""
        return True

    def warnings(self) -> list[str]:
        """What a start should warn of: each names the key that is missing, and what that means."""
        missing = self.verification
        if missing is None or self.verifies():
            return []
        return [f"key '{missing.key}' is missing: {missing.otherwise}"]

    async def prepare(self, request: Request) -> None:  # noqa: B027
        """Fetch what `verify` needs and the connector does not hold: signing keys that rotate."""

    def verify(self, request: Request) -> None:  # noqa: B027
        """Check the request's signature or token, in constant time.

        Raises:
            RequestRejected: 403.
        """

    def handshake(self, request: Request) -> HTTPResponse | None:
        """Answer a verified request that carries no message (Slack's url_verification), or None.

        Raises:
            RequestRejected: 400, it has not the expected shape.
        """
        return None

    def greet(self, request: Request) -> HTTPResponse:
        """Answer GET /webhook (Meta's hub.challenge); not verified before.

        Raises:
            RequestRejected: 405, the channel has none.
        """
        raise RequestRejected(405, "send messages with POST")

    @abstractmethod
    def parse(self, request: Request) -> list[InboundMessage]:
        """Return every message that a request carries, in order; see `message`.

        Raises:
            RequestRejected: 400, it has not the expected shape.
        """

    def acknowledge(self, request: Request) -> HTTPResponse:
        """What to answer once every message is confirmed."""
        return text_response("success")

    @abstractmethod
    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        """Make one call to the service; return once it has accepted the reply.

        Raises:
            RetryableDeliveryError: timeout, 429, 5xx; may carry retry_after.
            RejectedDeliveryError: the call will never succeed.
        """

    def split(self, reply: Reply) -> Iterable[Reply]:
        """Return the calls that a reply takes, one reply each. Texts: one a paragraph, as Rasa."""
        return paragraphs(reply)

    def message(
        self,
        request: Request,
        *,
        sender_id: str,
        text: str,
        id: str | None = None,
        input_channel: str | None = None,
        metadata: dict[str, Any] | None = None,
        parse_data: dict[str, Any] | None = None,
        route: dict[str, Any] | None = None,
    ) -> InboundMessage:
        """Return an inbound message of this channel.

        `id` is the provider's own id of the event; without one an `Idempotency-Key` or
        `webhook-id` header is taken, else a new one is made (then a retry is a second message).
        """
        known = id or next((request.headers[h] for h in ID_HEADERS if request.headers.get(h)), None)
        return InboundMessage(
            id=known or uuid.uuid4().hex,
            channel=self.channel,
            sender_id=sender_id,
            text=text,
            input_channel=input_channel or self.name,
            output_channel=self.output_name or self.name,
            metadata=metadata,
            parse_data=parse_data,
            route=route or {},
            traceparent=request.headers.get("traceparent"),
        )

    def now(self) -> float:
        """Unix time in seconds, for replay windows."""
        return time.time()

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return the blueprint in Rasa's shape: health on `/`, receive on `/webhook`.

        A channel with further URLs adds them to what `super().blueprint(inbox)` returns.
        """
        blueprint = Blueprint(f"webhook_{self.channel}".replace("-", "_").replace(".", "_"))

        @blueprint.get("/", name="health")
        async def health(_: SanicRequest) -> HTTPResponse:
            return json_response({"status": "ok"})

        @blueprint.get("/webhook", name="greet")
        @answer_errors(self.channel)
        async def greet(request: SanicRequest) -> HTTPResponse:
            return self.greet(plain_request(request))

        @blueprint.post("/webhook", name="receive")
        @answer_errors(self.channel)
        async def receive(request: SanicRequest) -> HTTPResponse | None:
            incoming = plain_request(request)
            await self.prepare(incoming)
            self.verify(incoming)
            answer = self.handshake(incoming)
            return answer or await self.receive(request, incoming, inbox)

        return blueprint

    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        """Enqueue the messages of a verified request, in order, and acknowledge."""
        for message in self.parse(incoming):
            await inbox.enqueue(message)
        return self.acknowledge(incoming)
