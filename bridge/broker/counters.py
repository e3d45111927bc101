"""Counters that the broker keeps, so that they outlive the processes that count.

A counter is a queue bound to the private exchange; its depth is the count. It is a classic queue,
so it is lost with its host: replicas would cost more than a wrong count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aio_pika

from bridge.broker.connection import Connection
from bridge.broker.library import answer, translated

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
        return await self._add(1, name, expires)

    async def down(self, name: str, expires: float) -> None:
        """Take one back, if the count is above zero.

        Not in one step: a counter that is cut off half-way is zero. Taking a message from its queue
        would be one step, but needs a permission that adding does not need.
        """
        (count,) = await self.read([name])
        if count:
            await self.reset(name)
        if count > 1:
            await self._add(count - 1, name, expires)

    async def read(self, names: Sequence[str]) -> list[int]:
        """Return the counts; 0 for a counter that does not exist."""
        depths = await self._within(self._connection().depths(names))
        return [depths[name].ready if name in depths else 0 for name in names]

    async def reset(self, name: str) -> None:
        """Set a counter to zero."""
        await self._within(self._connection().delete(queue=name))

    async def _add(self, number: int, name: str, expires: float) -> int:
        async def add(channel: Any) -> int:
            arguments = {"x-expires": int(expires * 1000)}
            queue = await channel.declare_queue(name, durable=True, arguments=arguments)
            await queue.bind(self._exchange, name)
            exchange = await channel.get_exchange(self._exchange, ensure=False)
            for _ in range(number):
                one = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await exchange.publish(one, name)
            return int(queue.declaration_result.message_count or 0)

        return await self._within(self._on_channel(add))

    async def _on_channel(self, use: Callable[[Any], Awaitable[T]]) -> T:
        async with self._connection().channel() as channel:
            return await use(channel)

    async def _within(self, operation: Awaitable[T]) -> T:
        with translated():
            return await answer(operation, self._timeout)
