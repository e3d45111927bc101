"""Counters that the broker keeps, so that they outlive the processes that count.

A counter is a queue bound to the private exchange; its depth is the count. It is a classic queue,
so it is lost with its host: replicas would cost more than a wrong count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aio_pika

from bridge.broker.channels import translated
from bridge.broker.connection import Connection

T = TypeVar("T")


class Counters:
    """The counters of one bridge, by name.

    Raises (all methods):
        BrokerError: not done within `timeout` seconds.
    """

    def __init__(self, connection: Callable[[], Connection], exchange: str, timeout: float) -> None:
        """`connection` returns the connection to use, or raises BrokerUnavailable."""
        self._connection = connection
        self._exchange = exchange
        self._timeout = timeout

    async def up(self, name: str, expires: float) -> int:
        """Add one; return the count before. It expires `expires` seconds after the last call."""

        async def count(channel: Any) -> int:
            arguments = {"x-expires": int(expires * 1000)}
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            one = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await queue.bind(self._exchange, name)
            await (await channel.get_exchange(self._exchange, ensure=False)).publish(one, name)
            return int(queue.declaration_result.message_count or 0)

        return await self._within(self._on_channel(count))

    async def down(self, name: str) -> None:
        """Take one back, if the counter exists and is above zero."""
        if (await self.read([name])) == [0]:
            return

        async def take(channel: Any) -> None:
            queue = await channel.get_queue(name, ensure=False)
            await queue.get(no_ack=True, fail=False)

        await self._within(self._on_channel(take))

    async def read(self, names: Sequence[str]) -> list[int]:
        """Return the counts; 0 for a counter that does not exist."""
        depths = await self._within(self._connection().depths(names))
        return [depths[name].ready if name in depths else 0 for name in names]

    async def reset(self, name: str) -> None:
        """Set a counter to zero."""
        await self._within(self._connection().delete(queue=name))

    async def _on_channel(self, use: Callable[[Any], Awaitable[T]]) -> T:
        async with self._connection().channel() as channel:
            return await use(channel)

    async def _within(self, operation: Awaitable[T]) -> T:
        with translated():
            return await asyncio.wait_for(operation, self._timeout)
