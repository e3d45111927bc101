"""The base class of all connectors, which know nothing of AMQP and do not import rasa."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from bridge.connectors.interfaces import EventReceiver, EventSender, Inbox
from bridge.connectors.limits import RateLimit
from bridge.connectors.receiving import receiver
from bridge.connectors.toolkit.error_responses import errors_as_responses
from bridge.connectors.toolkit.events import EventSource
from bridge.connectors.toolkit.ids import new_id, sent_id
from bridge.connectors.toolkit.receipts import ReceiptSource
from bridge.connectors.toolkit.replies import paragraphs
from bridge.connectors.toolkit.request import MAX_BODY, Request, plain_request
from bridge.connectors.turns import FILES
from bridge.connectors.verification import NO_AUTHENTICATION, Verification
from bridge.errors import RequestRejected
from bridge.http.direct import direct, direct_like
from bridge.http.responses import json_response, text_response
from bridge.messages import NORMAL, InboundMessage, Priority, Reply, TurnPolicy, trace_context
from bridge.settings.sections import build

if TYPE_CHECKING:
    from sanic import Blueprint, Request as SanicRequest
    from sanic.response import HTTPResponse

    from bridge.http.client import HttpClient

__all__ = ["Connector", "Request", "Verification"]


class Connector(EventSource, ReceiptSource, ABC):
    """Translates between one external service and the bridge's messages.

    A subclass sets `name`, and implements `parse` (incoming requests) and `deliver` (outgoing
    calls). The parameters of its `__init__`, with their type annotations, are the channel's keys in
    credentials.yml; the registry checks a section against them. Override `verify` to authenticate
    requests, and set `verification` to describe the check.

    The webhook role calls `prepare`, `verify`, `handshake`, `parse` and `acknowledge` for each
    request, in this order. The deliver role calls `split`, then `deliver` once per part.
    """

    name: ClassVar[str]
    """The channel's name in Rasa: the default key in credentials.yml, and the default value of
    `UserMessage.input_channel`."""
    output_name: ClassVar[str] = ""
    """`OutputChannel.name()` in Rasa, which selects responses by it, if it differs from `name`."""
    synchronous: ClassVar[bool] = False
    """True for a channel that answers in the HTTP response: it has no reply queues, and `deliver`
    is never called. Override `receive` to collect the replies."""
    verification: ClassVar[Verification | None] = None
    """Describes what `verify` checks; None for a channel without authentication."""
    key_of: ClassVar[Mapping[str, str]] = {}
    """Parameter of `__init__` → its key in credentials.yml, where the two differ."""
    only_webhook: ClassVar[frozenset[str]] = frozenset()
    """Keys that only the webhook needs, such as the secret of signatures."""
    only_deliver: ClassVar[frozenset[str]] = frozenset()
    """Keys that only `deliver` needs, such as the token of its calls."""
    stand_ins: ClassVar[Mapping[str, str]] = {}
    """Values of a required form for keys that are withheld from a role."""
    withheld: frozenset[str] = frozenset()
    """Keys that this process does not have, because it does not need them; set by the registry."""
    max_body: ClassVar[int] = MAX_BODY
    """Bytes that the service's requests may have; a longer one is answered with 413."""
    has_sockets: ClassVar[bool] = False
    """True if clients hold sockets at webhook processes: replies are events, sent by `sender`."""
    awaits_clients: bool = False  # whether `sender` must know which events reach a client
    in_use: bool = True
    """False for a section that is only a placeholder: no one writes through the channel."""
    whole_responses: bool = False
    """Whether `split` accepts replies of the kind `response`."""
    sender: EventSender
    """Set in `deliver` before the first call, if `has_sockets` is True."""
    receiver: EventReceiver
    """Set in a webhook process before `blueprint`, if `has_sockets` is True."""
    conversation_prefix: str = ""
    """Begins the id of each conversation of the channel, for us only; set by the registry."""
    channel: str = ""
    """The channel's key in credentials.yml; set by the registry. An instance has another `name`."""
    priority: Priority = NORMAL
    turns: TurnPolicy | None = None
    """Priority and policy of the channel's messages; set by the registry."""
    file_keys: ClassVar[frozenset[str]] = FILES
    """Keys of metadata that only files, buttons and the like have; see `connectors.turns`."""
    response_timeout: float = 60.0
    """Seconds that a request waits for its turn by default; set by the webhook role."""

    @property
    def collects(self) -> bool:
        """Whether it may call `Inbox.collect`; the webhook role then has a queue for replies."""
        return self.synchronous

    @classmethod
    def from_credentials(cls, credentials: Mapping[str, Any]) -> Connector:
        """Return the connector for a section of credentials.yml.

        Raises:
            SettingsError: a key is unknown, missing or of the wrong type.
        """
        return build(cls, credentials, cls.key_of)

    def mounted_at(self) -> str:
        """Return the URL path below which the webhook role serves the blueprint."""
        return f"/webhooks/{self.channel}"

    def served_at(self) -> str:
        """Return the URL path to which the service posts."""
        return f"{self.mounted_at()}/webhook"

    def users_choose_ids(self) -> bool:
        """Return whether a user can name any conversation, also that of another channel's user."""
        return False

    def unprefixed(self, reply: Reply) -> Reply:
        """Return a reply with the recipient as the service knows it."""
        recipient = reply.recipient_id.removeprefix(self.conversation_prefix)
        return reply if recipient == reply.recipient_id else replace(reply, recipient_id=recipient)

    def verifies(self) -> bool:
        """Return whether `verify` checks anything, that is, whether `verification.key` is set."""
        return True

    def warnings(self) -> list[str]:
        """Return what to warn of at start, one line per problem, each with its key and the risk."""
        check = self.verification
        if check is None:
            return [] if type(self).verify is not Connector.verify else [NO_AUTHENTICATION]
        return [] if self.verifies() else [f"key '{check.key}' is missing: {check.otherwise}"]

    async def prepare(self, request: Request) -> None:
        """Fetch what `verify` needs, such as rotating signing keys.

        Raises:
            RequestRejected: 503, the service did not provide it.
        """

    def verify(self, request: Request) -> None:
        """Check the request's signature or token, in constant time.

        Raises:
            RequestRejected: 403, the request is not authentic.
        """

    def handshake(self, request: Request) -> HTTPResponse | None:
        """Return the response to a verified request without messages (Slack's url_verification).

        None means that the request carries messages, to be parsed.

        Raises:
            RequestRejected: 400, the request does not have the expected shape.
        """
        return None

    def greet(self, request: Request) -> HTTPResponse:
        """Return the response to `GET /webhook` (Meta's hub.challenge). `verify` is not called.

        Raises:
            RequestRejected: 405, the channel does not support GET.
        """
        raise RequestRejected(405, "send messages with POST")

    @abstractmethod
    def parse(self, request: Request) -> list[InboundMessage]:
        """Return the messages of a verified request, in order; build them with `message`.

        Return [] for requests that carry none; count each event with `ignore`, by its kind.

        Raises:
            RequestRejected: 400, the request does not have the expected shape.
        """

    def acknowledge(self, request: Request) -> HTTPResponse:
        """Return the response for a request whose messages are all confirmed: 200, `success`."""
        return text_response("success")

    @abstractmethod
    async def deliver(self, reply: Reply, http: HttpClient) -> None:
        """Make one call to the service; return once the service has accepted the reply.

        `reply` is one part of what `split` returned.

        Raises:
            RetryableDeliveryError: timeout, 429 or 5xx; may carry `retry_after` in seconds.
            ServiceUnavailable: no call can succeed now (no connection, invalid token); lets the
                circuit breaker pause the channel.
            RejectedDeliveryError: this call will never succeed; the reply is dead-lettered.
        """

    def split(self, reply: Reply) -> Iterable[Reply]:
        """Return one reply per call to the service.

        By default, a text becomes one call per paragraph, as in Rasa; `calls` also enforces limits.
        """
        return paragraphs(reply)

    def recipient_limits(self, reply: Reply) -> tuple[RateLimit, ...]:
        """Return the service's published limits of the calls to one recipient; by default none.

        All of them apply. `rate_limit_per_recipient` in credentials.yml replaces them.
        """
        return ()

    def limited_recipient(self, reply: Reply) -> str:
        """Return what the service counts as one recipient: by default, the conversation."""
        return reply.recipient_id

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

        `sender_id` identifies the conversation, and `id` the event at the provider. Without an
        `id`, the `Idempotency-Key` or `webhook-id` header is used; without those, each call makes
        a new id, so an event that the provider sends again becomes a second message.

        `input_channel`, `metadata` and `parse_data` are the fields of Rasa's `UserMessage`. `route`
        is copied into every reply of the turn: put there what `deliver` needs (thread, service
        URL), but no secret.
        """
        headers = request.headers
        message = InboundMessage(
            id=id or sent_id(headers) or new_id(),
            channel=self.channel,
            sender_id=sender_id,
            text=text,
            input_channel=input_channel or self.name,
            output_channel=self.output_name or self.name,
            metadata=metadata,
            parse_data=parse_data,
            route=route or {},
            priority=self.priority,
        )
        traced = trace_context(headers)
        return replace(message, **traced) if traced else message

    def now(self) -> float:
        """Return the Unix time in seconds, for replay windows; tests replace this method."""
        return time.time()

    def blueprint(self, inbox: Inbox) -> Blueprint:
        """Return the Sanic blueprint, with Rasa's routes: health on `/`, messages on `/webhook`.

        The webhook role mounts it under `/webhooks/<channel>`. To add routes, override this method
        and extend the blueprint that `super().blueprint(inbox)` returns.
        """
        from sanic import Blueprint  # only servers load it

        blueprint = Blueprint(f"webhook_{self.channel}".replace("-", "_").replace(".", "_"))

        @blueprint.get("/", name="health")
        async def health(_: SanicRequest) -> HTTPResponse:
            return json_response({"status": "ok"})

        @blueprint.get("/webhook", name="greet")
        @errors_as_responses(self.channel)
        async def greet(request: SanicRequest) -> HTTPResponse:
            return self.greet(plain_request(request))

        own = type(self)
        prepares = own.prepare is not Connector.prepare
        receives = own.receive is not Connector.receive
        handler = receiver(self, inbox, prepares=prepares, receives=receives)
        # An override that is not marked may need Sanic's request.
        handler = direct_like(own.receive)(handler)
        blueprint.add_route(handler, "/webhook", methods=["POST"], name="receive")
        return blueprint

    @direct
    async def receive(
        self, request: SanicRequest, incoming: Request, inbox: Inbox
    ) -> HTTPResponse | None:
        """Enqueue the messages of a verified request, in order; return the response.

        `request` is Sanic's request, `incoming` the same request as plain data. Return None after
        responding through `request` (streaming).

        Raises:
            RequestRejected: see `parse`.
            BrokerError: a message was not confirmed.
        """
        for message in self.parse(incoming):
            await inbox.enqueue(message)
        return self.acknowledge(incoming)
