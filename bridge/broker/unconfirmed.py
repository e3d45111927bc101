"""Publishes what is worthless when it is late: without confirms, on a separate channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika import exceptions as amqp_errors

from bridge.broker.connection import Connection
from bridge.broker.fast_path.sending import Sending
from bridge.broker.library import underlay
from bridge.broker.transient import write
from bridge.errors import BrokerError, BrokerUnavailable, NotDeclared


class Unconfirmed:
    """Publishes transient messages over the connection of a `Publisher`.

    Such a message waits for nothing but the socket. A broker that confirms late, because its disk
    is slow or its queues are long, delays no message here.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        name: str,
        missing: Callable[[NotDeclared], Awaitable[None]],
    ) -> None:
        """`connection` returns the connection to use, or raises BrokerUnavailable.

        `missing` is awaited when an exchange does not exist; `name` is sent with every message.
        """
        self._connection = connection
        self._name = name
        self._missing = missing
        self._opened_on: Connection | None = None
        self._channel: Any = None
        self._fast: Sending | None = None
        self._lost: BrokerError | None = None
        """Why the channel has closed."""

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Write one message to the socket. Without a queue for it, the broker drops it.

        Raises:
            BrokerUnavailable: not connected, blocked by an alarm, or not written within `TIMEOUT`.
        """
        connection = self._connection()
        await self._mend()
        if self._channel is None or self._opened_on is not connection:
            self._lost = None
            self._channel = await connection.unconfirmed_channel(self._closed)
            self._fast = connection.sending((await underlay(self._channel)).number)
            self._opened_on = connection
        try:
            await write(
                self._channel,
                self._fast,
                exchange,
                routing_key,
                body,
                kind=routing_key,
                name=self._name,
                headers=headers,
                lost=connection.lost_with,
            )
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, amqp_errors.ChannelInvalidStateError):
                self._channel = None  # aio_pika 8 does not always tell that a channel has closed
            raise

    def _closed(self, reason: BrokerError) -> None:
        self._lost, self._channel = reason, None

    async def _mend(self) -> None:
        """Declare the exchange again if its absence has closed the channel."""
        if isinstance(self._lost, NotDeclared):
            await self._missing(self._lost)
            self._lost = None
