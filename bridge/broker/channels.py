"""Channels of a connection: publish with confirms, consume. A home of aio_pika beside `amqp.py`."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
from aio_pika import exceptions as amqp_errors
from aiormq.exceptions import ChannelAccessRefused

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

FOREIGN = (*amqp_errors.CONNECTION_EXCEPTIONS, asyncio.TimeoutError)
WORDLESS: dict[type[BaseException], str] = {
    asyncio.TimeoutError: "no answer in time",
    # A load balancer in front of nothing, say.
    StopAsyncIteration: "the connection was closed before it was open",
}
"""What errors mean that the libraries raise without a text."""


@contextmanager
def translated(url: str = "") -> Iterator[None]:
    """Turn aio_pika's exceptions into ours. A password never appears in a message."""
    try:
        yield
    except amqp_errors.PublishError as error:
        returned: Any = error.message
        key = returned.delivery.routing_key
        raise Unroutable(f"no queue is bound for routing key {key!r}") from error
    except amqp_errors.DeliveryError as error:
        raise PublishRefused("the broker refused the message: its queue is full") from error
    except ChannelAccessRefused as error:
        raise AccessRefused(
            str(error), fix="grant the permission to this broker user, or use another user"
        ) from error
    except amqp_errors.ChannelClosed as error:
        raise TopologyError(str(error)) from error
    except (amqp_errors.ProbableAuthenticationError, amqp_errors.AuthenticationError) as error:
        raise LoginRefused(
            f"{safe_url(url)}: login refused", fix="fix user and password in bridge.url"
        ) from error
    except BrokerError:
        raise
    except FOREIGN as error:
        reason = str(error) or WORDLESS.get(type(error)) or type(error).__name__
        if url and "Connection.OpenOk" in reason:
            # The broker closed the connection instead of opening the virtual host; the libraries
            # do not say so.
            raise NoVirtualHost(
                f"{safe_url(url)}: the broker opens no virtual host '{virtual_host(url)}' for this"
                " user",
                fix="create it and set its permissions, or fix bridge.url (/ is written as %2F)",
            ) from error
        raise BrokerUnavailable(
            f"{safe_url(url)}: {reason}" if url else reason, fix=_tls_fix(error)
        ) from error


def _tls_fix(error: BaseException) -> str:
    """Return what to do about a failed TLS handshake; empty for any other error."""
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "name the CA that signed the broker's certificate: add ?cafile=… to bridge.url"
    if isinstance(cause, ssl.SSLError):
        return "use amqps:// with the TLS port (5671), and amqp:// with port 5672"
    return ""


class ConfirmChannel:
    """Publishes with confirms. `lost` is done once the connection or the channel is."""

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

        `message_id` goes out as `correlation_id`, cut to the 255 bytes that AMQP allows. The
        property `message_id` must be different for any two publishes in flight, since returns
        are matched by it.

        Raises:
            BrokerUnavailable: no confirm within `timeout` seconds, or before the connection was
                lost. Ambiguous: the broker may have the message, so publishing it again must be
                harmless.
            PublishRefused: nacked: the queue is at its length limit.
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
                # Floats as texts: the libraries write 24 bits, two minutes of a Unix time.
                headers={k: str(v) if type(v) is float else v for k, v in (headers or {}).items()},
                timestamp=time.time(),
            )
            await self._confirmed(
                self._exchanges[exchange].publish(message, routing_key, mandatory=True), timeout
            )

    async def _confirmed(self, publish: Coroutine[Any, Any, Any], timeout: float) -> None:
        """Wait for a confirm. Not by aio_pika's timeout, which leaves out waiting for a socket; and
        aiormq 6 does not tell those that wait when the connection is lost."""
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
    """Consumes queues; closing it gives what is unacked back to them, in order."""

    def __init__(self, channel: Any, underlay: Any) -> None:
        self._channel = channel
        self._underlay = underlay
        self.is_open = True
        """False once we have given it up ourselves."""
        self._consumers = 0

    async def consume(
        self,
        queue: str,
        on_delivery: Callable[[Delivery], None],
        *,
        priority: int | None = None,
        no_ack: bool = False,
    ) -> None:
        """Hand each message of a queue to `on_delivery`, in the queue's order.

        `priority` is https://www.rabbitmq.com/docs/consumer-priority; with `no_ack` a message is
        settled when it is handed out.
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
        with translated():
            await self._underlay.basic_consume(
                queue, on_message, no_ack=no_ack, arguments=arguments
            )
        self._consumers += 1

    async def consume_private(
        self, on_delivery: Callable[[Delivery], None], exchange: str, key: str | None = None
    ) -> str:
        """Consume a new server-named queue of this connection alone; return its name.

        It is bound to `exchange` with `key`, by default its own name.
        """
        with translated():
            queue = await self._channel.declare_queue(exclusive=True, auto_delete=True)
            name = str(queue.name)
            await queue.bind(exchange, key or name)
        await self.consume(name, on_delivery, no_ack=True)
        return name

    def check(self) -> None:
        """Look whether every consumer is still there (local, costs nothing).

        Raises:
            BrokerUnavailable: the broker has cancelled one. aiormq forgets such a consumer
                without telling anybody.
        """
        if len(self._underlay.consumers) < self._consumers:
            raise BrokerUnavailable("the broker cancelled a consumer: was its queue deleted?")

    async def _ack(self, tag: int) -> None:
        """Does nothing once the connection is lost: the message will come again."""
        if self.is_open:
            with suppress(*FOREIGN):
                await self._underlay.basic_ack(tag)

    def abandon(self) -> None:
        """From now on nothing is handed out and every ack is a no-op."""
        self.is_open = False

    async def close(self) -> None:
        """Close the channel. Never `basic.cancel`: it would let the next consumer start while
        this one still holds messages."""
        self.abandon()
        with suppress(*FOREIGN):
            await asyncio.wait_for(self._channel.close(), CLOSE_TIMEOUT)
