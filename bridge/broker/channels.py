"""Channels of a connection: publish with confirms, and consume."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
import pamqp.exceptions
from aio_pika import exceptions as amqp_errors
from aiormq import exceptions as aiormq_errors

from bridge.broker.url import safe_url, virtual_host
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    LoginRefused,
    NoVirtualHost,
    PublishRefused,
    TopologyError,
    Unroutable,
)
from bridge.messages import Delivery

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the broker's answer to a close."""

FOREIGN = (*amqp_errors.CONNECTION_EXCEPTIONS, asyncio.TimeoutError)
"""Everything that aio_pika raises when a connection or channel fails."""
NOT_OPENED = (aiormq_errors.InvalidFrameError, pamqp.exceptions.AMQPInternalError)
"""aiormq 7 and 6: the broker closed the connection instead of opening the virtual host."""
WORDLESS: dict[type[BaseException], str] = {
    asyncio.TimeoutError: "no answer in time",
    # For example from a load balancer without a backend.
    StopAsyncIteration: "the connection was closed before it was open",
}
"""Texts for errors that the libraries raise without one."""


@contextmanager
def translated(url: str = "") -> Iterator[None]:
    """Turn aio_pika's exceptions into the bridge's; pass `url` while a connection opens.

    A password never appears in a message.

    Raises:
        LoginRefused, NoVirtualHost: only while a connection opens.
        AccessRefused, TopologyError: the broker closed the channel.
        PublishRefused, Unroutable: the broker refused a message.
        BrokerUnavailable: any other failure.
    """
    try:
        yield
    except amqp_errors.PublishError as error:
        returned: Any = error.message
        key = returned.delivery.routing_key
        raise Unroutable(f"no queue is bound for routing key {key!r}") from error
    except amqp_errors.DeliveryError as error:
        raise PublishRefused("the broker refused the message: its queue is full") from error
    except aiormq_errors.ChannelAccessRefused as error:
        raise AccessRefused(
            str(error), fix="grant this permission to the broker user, or use another user"
        ) from error
    except amqp_errors.ChannelClosed as error:
        raise TopologyError(str(error)) from error
    except (amqp_errors.ProbableAuthenticationError, amqp_errors.AuthenticationError) as error:
        raise LoginRefused(
            f"{safe_url(url)}: login refused", fix="fix the user and password in bridge.url"
        ) from error
    except BrokerError:
        raise
    except FOREIGN as error:
        reason = str(error) or WORDLESS.get(type(error)) or type(error).__name__
        if url and isinstance(error, NOT_OPENED):
            raise NoVirtualHost(
                f"{safe_url(url)}: this user cannot open the virtual host '{virtual_host(url)}'",
                fix="create it and set the user's permissions, or fix bridge.url (write / as %2F)",
            ) from error
        raise BrokerUnavailable(
            f"{safe_url(url)}: {reason}" if url else reason, fix=_tls_fix(error)
        ) from error


@contextmanager
def not_found_is_temporary() -> Iterator[None]:
    """Use it where the queue was declared before: then RabbitMQ answers NOT_FOUND only while the
    queue's home node is down or its leader is being elected.

    Raises:
        BrokerUnavailable: so the link tries again.
    """
    try:
        yield
    except amqp_errors.ChannelNotFoundEntity as error:
        raise BrokerUnavailable(str(error)) from error


def _tls_fix(error: BaseException) -> str:
    """Return what to do about a failed TLS handshake; empty for any other error."""
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "name the CA that signed the broker's certificate: add ?cafile=… to bridge.url"
    if isinstance(cause, ssl.SSLError):
        return "use amqps:// with the TLS port (5671), and amqp:// with port 5672"
    return ""


class ConfirmChannel:
    """Publishes with confirms. `lost` completes when the connection or the channel closes."""

    def __init__(self, channel: Any, lost: asyncio.Future[str]) -> None:
        self._channel = channel
        self._lost = lost
        self._exchanges: dict[str, Any] = {}

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        kind: str,
        message_id: str,
        reply_to: str | None = None,
        headers: Mapping[str, Any] | None = None,
        timeout: float,
    ) -> None:
        """Publish one persistent message and return once the broker has confirmed it.

        `message_id` is sent as `correlation_id`, cut to the 255 bytes that AMQP allows. The AMQP
        property `message_id` is a new random value, because returned messages are matched by it
        and it must differ between any two publishes in flight.

        Raises:
            BrokerUnavailable: no confirm within `timeout` seconds, or before the connection was
                lost. The broker may have the message nevertheless, so publishing it again must be
                harmless.
            PublishRefused: the queue has reached its length limit.
            Unroutable: no queue is bound for the key.
        """
        with translated():
            if exchange not in self._exchanges:
                self._exchanges[exchange] = await self._channel.get_exchange(exchange, ensure=False)
            message = aio_pika.Message(
                body,
                message_id=uuid.uuid4().hex,
                correlation_id=message_id.encode()[:255].decode(errors="ignore"),
                type=kind,
                app_id="rasa-channel-bridge",
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                reply_to=reply_to,
                # Floats as text: the libraries write 24 bits, which is two minutes of a Unix time.
                headers={k: str(v) if type(v) is float else v for k, v in (headers or {}).items()},
                timestamp=time.time(),
            )
            await self._confirmed(
                self._exchanges[exchange].publish(message, routing_key, mandatory=True), timeout
            )

    async def _confirmed(self, publish: Coroutine[Any, Any, Any], timeout: float) -> None:
        """Wait for a confirm, at most `timeout` seconds.

        aio_pika's own timeout does not cover waiting for the socket, and aiormq 6 leaves publishers
        waiting when the connection is lost.
        """
        publishing = asyncio.ensure_future(publish)
        try:
            await asyncio.wait(
                {publishing, self._lost}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if publishing.done():
                publishing.result()
            elif self._lost.done():
                raise BrokerUnavailable(
                    f"connection lost before the confirm: {self._lost.result()}"
                )
            else:
                raise BrokerUnavailable(f"no confirm within {timeout:g} s")
        finally:
            publishing.cancel()


class ConsumerChannel:
    """Consumes queues. Closing it returns unacked messages to their queues, in order."""

    def __init__(self, channel: Any, underlay: Any) -> None:
        self._channel = channel
        self._underlay = underlay
        self.is_open = True
        """False after `abandon` or `close`."""
        self._consumers = 0

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        priority: int | None = None,
        no_ack: bool = False,
    ) -> None:
        """Pass each message of a queue to `on_delivery`, in the queue's order.

        `priority` is the consumer priority (https://www.rabbitmq.com/docs/consumer-priority). With
        `no_ack`, the broker settles a message when it delivers it.
        """

        async def on_message(message: Any) -> None:
            if not self.is_open:
                return
            properties = message.header.properties
            tag = message.delivery.delivery_tag
            on_delivery(
                Delivery(
                    queue=queue,
                    body=bytes(message.body),
                    kind=properties.message_type,
                    message_id=properties.correlation_id,
                    redelivered=bool(message.delivery.redelivered),
                    delivery_count=int((properties.headers or {}).get("x-delivery-count") or 0),
                    ack=lambda: self._ack(tag),
                    headers=properties.headers or {},
                )
            )

        arguments = None if priority is None else {"x-priority": priority}
        with translated(), not_found_is_temporary():
            await self._underlay.basic_consume(
                queue, on_message, no_ack=no_ack, arguments=arguments
            )
        self._consumers += 1

    async def consume_private(
        self, on_delivery: Callable[[Delivery], None], exchange: str, key: str | None = None
    ) -> str:
        """Consume a new exclusive, server-named queue; return its name.

        The queue is bound to `exchange` with `key`, or by default with its name.
        """
        with translated():
            queue = await self._channel.declare_queue(exclusive=True, auto_delete=True)
            name = str(queue.name)
            await queue.bind(exchange, key or name)
        await self.consume(name, on_delivery, no_ack=True)
        return name

    def check(self) -> None:
        """Check that every consumer still exists. This is a local check and costs nothing.

        Raises:
            BrokerUnavailable: the broker has cancelled a consumer. aiormq forgets it silently.
        """
        if len(self._underlay.consumers) < self._consumers:
            raise BrokerUnavailable("the broker cancelled a consumer: was its queue deleted?")

    async def _ack(self, tag: int) -> None:
        """Ack, unless the connection is lost: then the message will be redelivered."""
        if self.is_open:
            with suppress(*FOREIGN):
                await self._underlay.basic_ack(tag)

    def abandon(self) -> None:
        """From now on, pass nothing to `on_delivery` and ignore every ack."""
        self.is_open = False

    async def close(self) -> None:
        """Close the channel.

        Never `basic.cancel`: the next consumer would start while this one still holds messages.
        """
        self.abandon()
        with suppress(*FOREIGN):
            await asyncio.wait_for(self._channel.close(), CLOSE_TIMEOUT)
