"""A channel that publishes with confirms, through aio_pika.

`fast_path.confirm_channel` does the same at a fraction of the cost.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import aio_pika
from aio_pika import exceptions as amqp_errors
from aiormq.exceptions import ChannelAccessRefused

from bridge.broker.fast_path.codec import id_of, plain, refuse_oversized
from bridge.broker.library import REASON_TIMEOUT, closed, translated
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    MessageTooLarge,
    TopologyError,
)

OVERSIZED = "an AMQP name or header of the message is too long"


class ConfirmChannel:
    """Publishes with confirms. `lost` completes when the connection or the channel closes."""

    def __init__(self, channel: Any, lost: asyncio.Future[BrokerError]) -> None:
        self._channel = channel
        self._lost = lost
        self._blocked: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._exchanges: dict[str, Any] = {}
        self.on_overdue: Callable[[], object] = lambda: None
        """Called if a confirm does not come in time, so that others may not come either."""

    def block(self, problem: str) -> None:
        """From now on, fail every publish at once, including those that wait for a confirm."""
        if not self._blocked.done():
            self._blocked.set_result(problem)

    def unblock(self) -> None:
        """Publish again."""
        if self._blocked.done():
            self._blocked = asyncio.get_running_loop().create_future()

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
                lost or blocked. If `unconfirmed`, the broker may have the message nevertheless,
                so publishing it again must be harmless.
            MessageTooLarge: a name is longer than 255 bytes, or the headers than a frame.
            NotDeclared: an exchange to which this channel publishes does not exist, so the broker
                closed the channel. It may have the message nevertheless, too.
            PublishRefused: the queue has reached its length limit.
            TopologyError: the message is too large; the channel is closed.
            Unroutable: no queue is bound for the key.
        """
        if self._blocked.done():
            raise BrokerUnavailable(self._blocked.result())
        try:
            refuse_oversized(exchange, routing_key, kind, reply_to, headers=headers)
        except ValueError as error:
            raise MessageTooLarge(OVERSIZED) from error
        with translated():
            if exchange not in self._exchanges:
                self._exchanges[exchange] = await self._channel.get_exchange(exchange, ensure=False)
            message = aio_pika.Message(
                body,
                message_id=uuid.uuid4().hex,
                correlation_id=id_of(message_id),
                type=kind,
                app_id="rasa-channel-bridge",
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                reply_to=reply_to,
                headers=plain(headers or {}),
                timestamp=time.time(),
            )
            publish = self._exchanges[exchange].publish(message, routing_key, mandatory=True)
            try:
                with translated():
                    await self._confirmed(publish, timeout)
            except BrokerUnavailable as error:
                error.unconfirmed = True
                raise

    def begin(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        kind: str,
        message_id: str,
        reply_to: str | None,
        headers: Mapping[str, Any] | None,
        timeout: float,
    ) -> Awaitable[None]:
        """Do as `publish`, but begin at once, if possible; what is returned must be awaited."""
        return self.publish(
            exchange,
            routing_key,
            body,
            kind=kind,
            message_id=message_id,
            reply_to=reply_to,
            headers=headers,
            timeout=timeout,
        )

    async def _confirmed(self, publish: Coroutine[Any, Any, Any], timeout: float) -> None:
        """Wait for a confirm, at most `timeout` seconds.

        aio_pika's own timeout does not cover waiting for the socket, and aiormq 6 leaves publishers
        waiting when the connection is lost.
        """
        publishing = asyncio.ensure_future(publish)
        ends = {publishing, self._lost, self._blocked}
        try:
            await asyncio.wait(ends, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if publishing.done() and not await self._is_lost_with(publishing):
                publishing.result()
            elif self._lost.done():
                error = self._lost.result()
                if isinstance(error, TopologyError) and not isinstance(error, AccessRefused):
                    raise error
                raise BrokerUnavailable(f"connection lost before the confirm: {error}")
            elif self._blocked.done():
                raise BrokerUnavailable(self._blocked.result())
            else:
                self.on_overdue()
                raise BrokerUnavailable(f"no confirm within {timeout:g} s")
        finally:
            publishing.cancel()

    async def _is_lost_with(self, publishing: asyncio.Future[Any]) -> bool:
        """Return whether a publish ended because the channel closed; `_lost` then tells why.

        aiormq ends it first, with whatever error it has at hand, or cancels it.
        """
        error = asyncio.CancelledError() if publishing.cancelled() else publishing.exception()
        if error is None or isinstance(error, (amqp_errors.DeliveryError, ChannelAccessRefused)):
            return False
        await asyncio.wait([self._lost], timeout=REASON_TIMEOUT)
        return self._lost.done() or publishing.cancelled()

    async def close(self, on_close: Callable[..., object]) -> None:
        """Close the channel without calling `on_close`, which was called if it had been lost."""
        self._channel.close_callbacks.discard(on_close)
        await closed(self._channel.close())


def unconfirmed(problem: str) -> BrokerUnavailable:
    """Return what a publish raises that may have arrived nevertheless."""
    error = BrokerUnavailable(problem)
    error.unconfirmed = True
    return error
