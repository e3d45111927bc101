"""Writes one message that is worthless when it is late, without a confirm."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aio_pika

from bridge.broker.fast_path.sending import Sending
from bridge.broker.library import answer, translated
from bridge.errors import BrokerError, BrokerUnavailable

TIMEOUT = 2.0
"""Seconds until a message must be written to the socket, or is dropped."""


async def write(
    channel: Any,
    fast: Sending | None,
    exchange: str,
    routing_key: str,
    body: bytes,
    *,
    kind: str,
    name: str,
    headers: dict[str, str] | None = None,
    lost: asyncio.Future[BrokerError] | None = None,
) -> None:
    """Write a message on a channel of aio_pika; `fast` passes it by.

    `name` tells who sends it. The channel has no confirms, and `lost` completes when its connection
    is lost. Without a queue for the message, the broker drops it.

    Raises:
        BrokerUnavailable: the connection is lost, or it was not written within `TIMEOUT`.
        amqp_errors.ChannelInvalidStateError: as the cause of it, if the channel has closed.
    """
    if fast is not None and fast.publish(
        exchange, routing_key, body, kind=kind, correlation_id=name, headers=headers
    ):
        return
    message = aio_pika.Message(
        body,
        type=kind,
        correlation_id=name,
        app_id="rasa-channel-bridge",
        content_type="application/json",
        timestamp=time.time(),
        headers=headers,  # type: ignore[arg-type]
    )
    with translated():
        try:
            to = await channel.get_exchange(exchange, ensure=False)
            await answer(to.publish(message, routing_key, mandatory=False), TIMEOUT, lost)
        except asyncio.TimeoutError as error:
            raise BrokerUnavailable("the broker does not read from the socket") from error
