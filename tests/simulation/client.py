"""Stands in for aio_pika and aiormq: connections and channels over a simulated network.

It has what `bridge.broker` uses of them, and their manners: a lost connection ends what waits with
an error or with a cancellation, before the close callbacks say so; a delivery is a task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import SimpleNamespace
from typing import Any

from aiormq.exceptions import ChannelInvalidStateError, ChannelNotFoundEntity

from bridge.broker.url import with_heartbeat
from tests.simulation.broker import Stored
from tests.simulation.exchange import Exchange, fail, succeed
from tests.simulation.loop import IN_ORDER
from tests.simulation.network import Network, Wire

OnMessage = Callable[[Any], Coroutine[Any, Any, None]]


async def open_any(network: Network, url: str) -> tuple[Connection, str, None]:
    """Stands in for `bridge.broker.addresses.open_any`. Without a tap, all passes through here."""
    return Connection(await network.connect(with_heartbeat(url)[1])), url, None


class _Callbacks(list[Callable[..., Any]]):
    """A collection of close callbacks."""

    def add(self, callback: Callable[..., Any]) -> None:
        self.append(callback)

    def discard(self, callback: Callable[..., Any]) -> None:
        if callback in self:
            self.remove(callback)


class _Closable:
    """What a connection and a channel have in common."""

    def __init__(self) -> None:
        self.close_callbacks = _Callbacks()
        self.is_closed = False

    def has_closed(self, error: BaseException | None) -> None:
        if not self.is_closed:
            self.is_closed = True
            for callback in self.close_callbacks:
                callback(self, error)


class Connection(_Closable):
    """aio_pika's and aiormq's connection in one."""

    server_properties = {"version": "4.0.5"}

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self.wire = wire
        self.channels: list[Channel] = []
        self._waiting: dict[asyncio.Future[Any], None] = {}
        self._unblocked = asyncio.Event()
        self._unblocked.set()
        wire.on_lost = self._is_lost
        wire.on_blocked = self._is_blocked

    def channel(self, publisher_confirms: bool = True, **_: Any) -> Channel:
        return Channel(self, publisher_confirms)

    async def ready(self) -> None:
        """Wait while the broker blocks the connection (`bridge.broker.alarm`)."""
        await self._unblocked.wait()

    async def close(self) -> None:
        for channel in self.wire.server_channels:
            channel.is_given_up = True
        if not self.wire.is_told:
            await self.ask(self.wire.drop, answered=False)

    async def ask(self, action: Callable[[], Any], *, answered: bool = True) -> Any:
        """Have the broker do something and return its result.

        An answer that is not awaited (`answered`) is the end of the connection itself.
        """
        if self.wire.is_told:
            raise ChannelInvalidStateError("closed")
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None

        def do() -> None:
            try:
                result = action()
            except Exception as error:
                self.wire.receive(fail, future, error)
                return
            if answered:
                self.wire.receive(succeed, future, result)
            else:
                self.wire.network.universe.after(self.wire.network.latency(), self.wire.tell)

        self.wire.send(do)
        return await self.waited(future)

    async def waited(self, future: asyncio.Future[Any]) -> Any:
        self._waiting[future] = None
        try:
            return await future
        finally:
            self._waiting.pop(future, None)

    def _is_blocked(self, blocked: bool) -> None:
        self._unblocked.clear() if blocked else self._unblocked.set()

    def _is_lost(self) -> None:
        """End everything that waits, then call the close callbacks, a few passes later or not."""
        random = self.wire.network.random
        for future in list(self._waiting):
            if future.done():
                continue
            if random.random() < 0.5:
                future.cancel()
            else:
                future.set_exception(ConnectionError("lost"))
        self._soon(random.randrange(4), self._call_back)

    def _soon(self, passes: int, callback: Callable[[], None]) -> None:
        if passes:
            self.wire.process.call_soon(self._soon, passes - 1, callback)
        else:
            callback()

    def _call_back(self) -> None:
        error = ConnectionError("connection reset")
        for channel in list(self.channels):
            channel.has_closed(error)
        self.has_closed(error)


class Channel(_Closable):
    """aio_pika's and aiormq's channel in one; open it with `await` or `async with`."""

    def __init__(self, connection: Connection, confirms: bool) -> None:
        super().__init__()
        self._confirms = confirms
        self._connection = connection
        self._wire = connection.wire
        self._network = connection.wire.network
        self.consumers: dict[str, OnMessage] = {}

    def __await__(self) -> Generator[Any, None, Channel]:
        return self._open().__await__()

    async def _open(self) -> Channel:
        self._server = await self._connection.ask(self._wire.open_channel)
        self._connection.channels.append(self)
        return self

    async def __aenter__(self) -> Channel:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        if not self.is_closed:
            await self.close()

    async def close(self) -> None:
        if not self.is_closed:
            self._server.is_given_up = True
            await self._ask(self._server.close)
            self.has_closed(None)

    def has_closed(self, error: BaseException | None) -> None:
        self._server.is_known_closed = True
        super().has_closed(error)

    async def get_underlay_channel(self) -> Channel:
        return self

    @property
    def channel(self) -> Channel:
        """The underlay, as aio_pika 8 names it."""
        return self

    async def set_qos(self, prefetch_count: int) -> None:
        def set_prefetch() -> None:
            self._server.prefetch = prefetch_count

        await self._ask(set_prefetch)

    async def basic_consume(
        self,
        queue: str,
        on_message: OnMessage,
        *,
        no_ack: bool = False,
        arguments: dict[str, Any] | None,
        consumer_tag: str,
    ) -> None:
        priority = (arguments or {}).get("x-priority", 0)
        self.consumers[consumer_tag] = on_message

        def send(tag: int, message: Stored) -> None:
            self._wire.receive(self._deliver, on_message, tag, message, message.count)

        await self._ask(lambda: self._server.consume(queue, priority, send, no_ack, consumer_tag))

    async def basic_cancel(self, consumer_tag: str) -> None:
        await self._ask(lambda: self._server.cancel(consumer_tag))
        self.consumers.pop(consumer_tag, None)

    def _deliver(self, on_message: OnMessage, tag: int, message: Stored, count: int) -> None:
        async def deliver() -> None:
            self._network.broker.watcher.arrives(self._wire.process, message)
            await on_message(_delivered(tag, message, count))

        # Tasks of equal rank: aiormq starts them in the order of the frames.
        self._wire.process.create_task(deliver(), name=IN_ORDER)

    async def basic_ack(self, tag: int, *, wait: bool) -> None:
        await self._settle(lambda: self._server.ack(tag))

    async def basic_nack(self, tag: int, *, wait: bool) -> None:
        await self._settle(lambda: self._server.nack(tag))

    async def _settle(self, action: Callable[[], None]) -> None:
        self._check()
        if self._network.random.random() < 0.3:  # the write queue is full
            await asyncio.sleep(0)
            self._check()
        self._wire.send(action)

    async def get_exchange(self, name: str, *, ensure: bool) -> Exchange:
        return Exchange(self._connection, self._check, name, self._confirms)

    async def declare_queue(
        self,
        name: str,
        *,
        passive: bool = False,
        exclusive: bool = False,
        arguments: dict[str, Any] | None = None,
        **_: Any,
    ) -> SimpleNamespace:
        broker = self._network.broker
        milliseconds = (arguments or {}).get("x-message-ttl")

        def declare() -> SimpleNamespace:
            if passive and name not in broker.queues:
                raise ChannelNotFoundEntity(f"no queue '{name}'")
            queue = broker.declare(name, milliseconds and milliseconds / 1000)
            if exclusive:
                self._server.exclusive.append(name)
            return SimpleNamespace(
                message_count=len(queue), consumer_count=0 if queue.active is None else 1
            )

        try:
            result = await self._ask(declare)
        except ChannelNotFoundEntity as error:
            self.has_closed(error)
            raise

        async def bind(exchange: str, key: str) -> None:
            await self._ask(lambda: broker.bind(name, exchange, key))

        return SimpleNamespace(name=name, declaration_result=result, bind=bind)

    async def queue_delete(self, name: str) -> None:
        await self._ask(lambda: self._network.broker.delete(name))

    async def _ask(self, action: Callable[[], Any]) -> Any:
        self._check()
        return await self._connection.ask(action)

    def _check(self) -> None:
        if self.is_closed or self._wire.is_told:
            raise ChannelInvalidStateError("closed")


def _delivered(tag: int, message: Stored, count: int) -> SimpleNamespace:
    """Return a message as aiormq delivers it; a `count` above 0: not for the first time."""
    headers: dict[str, Any] = {**message.headers}
    if count:
        headers["x-delivery-count"] = count
    properties = SimpleNamespace(
        message_type=message.kind,
        correlation_id=message.id,
        message_id=str(message.position),
        headers=headers,
    )
    return SimpleNamespace(
        body=message.body,
        header=SimpleNamespace(properties=properties),
        delivery=SimpleNamespace(delivery_tag=tag, redelivered=count > 0),
    )
