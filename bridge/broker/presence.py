"""Shows other processes that this one is connected, whether it can report or not.

Each process consumes a queue without messages, `<ns>.present.<what>`, for each flow that it
consumes; a webhook consumes that of `WEBHOOKS`. The broker's number of consumers of that queue is
the number of connected processes. It counts a process that hangs or is stopped until its connection
is closed, and a killed one no more.
A partition's queue tells neither: of its consumers, the broker counts the active one only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from bridge.broker.connection import Connection
from bridge.broker.library import answer, closed, translated, underlay
from bridge.errors import AccessRefused, BrokerError

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks whether the consumers still exist."""
TIMEOUT = 5.0
"""Seconds to wait for the broker's answer."""
WEBHOOKS = "webhook"
"""What the queue of all webhooks is called in place of a flow."""
EXPIRES = 5 * 60
"""Seconds after which RabbitMQ deletes a queue without consumers."""
WEBHOOKS_EXPIRE = 7 * 24 * 3600
"""Seconds for that of the webhooks: nothing else tells that there should be one."""


def presence_queue(namespace: str, flow: str, channel: str = "") -> str:
    """Return the name of the queue that the consumers of a flow, or channel, consume."""
    return f"{namespace}.present.{flow}.{channel}".rstrip(".")


def _arguments(queue: str) -> dict[str, Any]:
    expires = WEBHOOKS_EXPIRE if queue.endswith(f".present.{WEBHOOKS}") else EXPIRES
    # It must survive the loss of a node.
    return {"x-queue-type": "quorum", "x-expires": expires * 1000}


class Presence:
    """Consumes presence queues over the connection of a `Publisher`; `run` it beside that."""

    def __init__(self, connection: Callable[[], Connection], queues: Sequence[str]) -> None:
        """`connection` returns the connection to use, or raises BrokerUnavailable."""
        self._connection = connection
        self._queues = queues
        self._channel: Any = None
        self._underlay: Any = None
        """aiormq's channel behind that of aio_pika."""
        self._opened_on: Connection | None = None
        self._declared: list[Any] = []
        """aio_pika's queues that are declared, but not consumed yet."""
        self._is_refused = False

    async def run(self) -> None:
        """Keep consuming until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY)
                if not self._is_refused:
                    with suppress(BrokerError, asyncio.TimeoutError):
                        await self._keep()
        finally:
            await self._close()

    async def _keep(self) -> None:
        """Declare the queues in one look, and consume them in the next.

        RabbitMQ confirms that a queue exists while another process's declaration still starts it.
        To consume it then costs the whole connection (INTERNAL_ERROR), with all that is published.
        """
        connection = self._connection()
        is_open = self._channel is not None and self._opened_on is connection
        if is_open and self._is_counted():
            return
        try:
            if is_open and self._declared:
                await self._answered(self._consume(), connection)
                return
            await self._close()
            self._channel = await connection.unconfirmed_channel(self._closed)
            self._opened_on = connection
            self._underlay = await underlay(self._channel)
            await self._answered(self._declare(self._channel), connection)
        except AccessRefused as error:
            self._is_refused = True
            log.warning("monitors cannot see whether this process hangs: %s", error)

    async def _answered(self, call: Coroutine[Any, Any, None], connection: Connection) -> None:
        with translated():
            await answer(call, TIMEOUT, connection.lost_with)

    async def _declare(self, channel: Any) -> None:
        self._declared = [
            await channel.declare_queue(name, durable=True, arguments=_arguments(name))
            for name in self._queues
        ]

    async def _consume(self) -> None:
        queues, self._declared = self._declared, []
        for queue in queues:
            await queue.consume(_ignore, no_ack=True)

    def _is_counted(self) -> bool:
        """Return whether every consumer exists. aiormq forgets a cancelled one silently."""
        return len(self._underlay.consumers) >= len(self._queues)

    def _closed(self, _: BrokerError) -> None:
        self._channel, self._declared = None, []

    async def _close(self) -> None:
        channel, self._channel, self._declared = self._channel, None, []
        if channel is not None:
            with suppress(BrokerError):
                await closed(channel.close())


async def _ignore(_: object) -> None:
    """Receive a message; nothing is ever published to a presence queue."""
