"""Counters that the broker keeps, so that they outlive the processes that count.

A counter is two queues bound to the private exchange: the depth of one, less that of the other, is
the count. They are classic queues, so they are lost with their host: replicas would cost more than
a wrong count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aio_pika

from bridge.broker.connection import Connection
from bridge.broker.library import answer, translated

T = TypeVar("T")

ADDED, TAKEN_BACK = "", ".back"
"""What is appended to the name of a counter, for the names of its queues."""


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
        return await self._add(name, ADDED, expires)

    async def down(self, name: str, expires: float) -> None:
        """Take one back, if the count is above zero.

        Taking a message from its queue would need a permission that adding does not need.
        """
        (count,) = await self.read([name])
        if count:
            await self._add(name, TAKEN_BACK, expires)

    async def read(self, names: Sequence[str]) -> list[int]:
        """Return the counts; 0 for a counter that does not exist."""
        queues = [name + of for name in names for of in (ADDED, TAKEN_BACK)]
        depths = await self._within(self._connection().depths(queues))
        numbers = [depths[queue].ready if queue in depths else 0 for queue in queues]
        return [max(0, up - down) for up, down in zip(numbers[::2], numbers[1::2], strict=True)]

    async def reset(self, name: str) -> None:
        """Set a counter to zero."""
        for of in (ADDED, TAKEN_BACK):
            await self._within(self._connection().delete(queue=name + of))

    async def _add(self, name: str, to: str, expires: float) -> int:
        """Add one to a queue of a counter; return the count before."""

        async def add(channel: Any) -> int:
            depths = {}
            for of in (ADDED, TAKEN_BACK):  # both, so that both expire at the same time
                arguments = {"x-expires": int(expires * 1000)}
                queue = await channel.declare_queue(name + of, durable=True, arguments=arguments)
                await queue.bind(self._exchange, name + of)
                depths[of] = int(queue.declaration_result.message_count or 0)
            exchange = await channel.get_exchange(self._exchange, ensure=False)
            one = aio_pika.Message(b"", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await exchange.publish(one, name + to)
            return max(0, depths[ADDED] - depths[TAKEN_BACK])

        return await self._within(self._on_channel(add))

    async def _on_channel(self, use: Callable[[Any], Awaitable[T]]) -> T:
        async with self._connection().channel() as channel:
            return await use(channel)

    async def _within(self, operation: Awaitable[T]) -> T:
        with translated():
            return await answer(operation, self._timeout)
