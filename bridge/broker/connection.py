"""One connection to RabbitMQ: open, watch, declare.

No exception of aio_pika leaves this file and `channels.py`. `links.py` keeps connections up;
`queues.py` knows what a message means.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from aio_pika import exceptions as amqp_errors

from bridge.broker.addresses import open_any
from bridge.broker.channels import ConsumerChannel
from bridge.broker.confirms import ConfirmChannel
from bridge.broker.fast_path.browsing import Browsed, Browsing
from bridge.broker.fast_path.confirm_channel import FastConfirmChannel
from bridge.broker.fast_path.consuming import Consuming
from bridge.broker.fast_path.publishing import Publishing
from bridge.broker.fast_path.sending import Sending
from bridge.broker.fast_path.tap import Tap
from bridge.broker.health import Health, described
from bridge.broker.library import (
    CLOSE_TIMEOUT,
    answer,
    closed,
    guarded,
    not_found_is_temporary,
    translated,
    underlay,
)
from bridge.broker.pipelined import declared
from bridge.broker.topology import Depth, Queue
from bridge.broker.url import Urls, with_heartbeat
from bridge.errors import BrokerError, BrokerUnavailable


@asynccontextmanager
async def connect(url: Urls, name: str) -> AsyncIterator[Connection]:
    """Open one connection, listed as `name` by the broker; close it at the end of the block.

    Raises:
        BrokerUnavailable: it did not open in time; see `addresses`.
        LoginRefused, NoVirtualHost: the broker refused it.
    """
    connection, used, tap = await open_any(url, name)
    opened = Connection(connection, used, tap)
    watching = asyncio.ensure_future(opened.health.watch())
    try:
        yield opened
    finally:
        watching.cancel()
        # A peer that vanished without a FIN never answers the close, nor does one with an alarm.
        if opened.health.is_alive() and not opened.health.is_blocked():
            await closed(connection.close())
        else:
            task = asyncio.ensure_future(closed(connection.close()))
            _closing.add(task)
            task.add_done_callback(_closing.discard)


_closing: set[asyncio.Future[None]] = set()
"""Lost connections that close in the background. Keeps the tasks from being collected."""


class Connection:
    """One open connection. Its methods raise only `BrokerError`s."""

    def __init__(self, connection: Any, url: str, tap: Tap | None = None) -> None:
        """Without `tap`, everything passes through aio_pika."""
        self.url = url
        self._tap = tap
        self._connection = connection
        transport = getattr(connection, "transport", None) or connection
        self._underlay = getattr(transport, "connection", transport)
        self.health = Health(
            connection, self._underlay, with_heartbeat(url)[1], lambda: tap.reads if tap else 0
        )
        connection.close_callbacks.add(self.health.close)

    @property
    def lost_with(self) -> asyncio.Future[BrokerError]:
        """Completes, with the reason, when the connection is lost."""
        return self.health.lost

    async def lost(self, timeout: float | None = None) -> None:
        """Return after `timeout` seconds (None: never).

        Raises:
            BrokerUnavailable: as soon as the connection, or one of its channels, has closed.
        """
        await asyncio.wait([self.health.lost], timeout=timeout)
        if not self.health.is_alive():
            raise BrokerUnavailable(f"connection lost: {self.health.lost.result()}")

    @property
    def broker_version(self) -> str:
        """The version that the broker announced when the connection opened, such as `4.0.5`."""
        version = self._underlay.server_properties.get("version", b"?")
        return version.decode() if isinstance(version, bytes) else str(version)

    @property
    def separates_priorities(self) -> bool:
        """Whether each priority has its queue.

        Before 4.0, RabbitMQ has no consumer priorities here: two processes could stay active on the
        queues of one partition, and one of them would never get the lock (`processing.partitions`).
        """
        return self.broker_version.partition(".")[0] not in ("2", "3")

    @guarded
    async def confirm_channel(self) -> ConfirmChannel:
        """Open a channel that publishes with confirms."""
        # Without on_return_raises, an unroutable message looks as if it had been published.
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        channel.close_callbacks.add(self.health.close)
        return await self._publishing(channel, self.health.lost)

    @guarded
    async def unconfirmed_channel(self, on_close: Callable[[BrokerError], object]) -> Any:
        """Open a channel of aio_pika without confirms, for use inside this package.

        The connection survives its failure; `on_close` receives the reason.
        """
        channel = await self._connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(lambda _, error=None: on_close(described(error)))
        return channel

    async def retire(self, publishing: ConfirmChannel) -> None:
        """Close a channel that `confirm_channel` opened; the connection stays open."""
        self.health.publishing.remove(publishing)
        await publishing.close(self.health.close)

    @asynccontextmanager
    async def own_channel(self) -> AsyncIterator[ConfirmChannel]:
        """Open a channel with confirms for one publish; the connection survives its failure."""
        lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()

        def on_close(_: Any, error: BaseException | None = None) -> None:
            if not lost.done():
                lost.set_result(described(error))

        with translated():
            opening = self._connection.channel(publisher_confirms=True, on_return_raises=True)
            channel = await answer(opening, CLOSE_TIMEOUT)
        channel.close_callbacks.add(on_close)
        publishing = await self._publishing(channel, lost)
        try:
            yield publishing
        finally:
            self.health.publishing.remove(publishing)
            if not lost.done() and not self.health.is_blocked():
                await closed(channel.close())

    async def _publishing(self, channel: Any, lost: asyncio.Future[BrokerError]) -> ConfirmChannel:
        if self._tap:
            sending = Publishing(self._tap, (await underlay(channel)).number, self._frame_max())
            publishing: ConfirmChannel = FastConfirmChannel(channel, lost, sending)
        else:
            publishing = ConfirmChannel(channel, lost)
        if self.health.blocked:
            publishing.block(self.health.problem)
        self.health.publishing.append(publishing)
        return publishing

    @guarded
    async def consumer_channel(self, prefetch: int, *, is_vital: bool = True) -> ConsumerChannel:
        """Open a channel that consumes; `prefetch` limits the unacked messages per queue."""
        channel = await self._connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=prefetch)
        behind = await underlay(channel)  # aio_pika makes a message and a task of each delivery
        fast = Consuming(self._tap, behind.number, self._frame_max()) if self._tap else None
        alive, lost = self.health.is_alive, self.lost_with
        consuming = ConsumerChannel(channel, behind, alive, lost, fast, prefetch)

        def on_close(sender: Any, error: BaseException | None = None) -> None:
            if is_vital and consuming.is_open:  # another one may close alone
                self.health.close(sender, error)

        channel.close_callbacks.add(on_close)
        return consuming

    def sending(self, channel: int) -> Sending | None:
        """Publish on an unconfirmed channel beside aiormq, or return None if aiormq shall."""
        return Sending(self._tap, channel, self._frame_max()) if self._tap else None

    def _frame_max(self) -> int:
        return int(self._underlay.connection_tune.frame_max)

    def browsing(self, channel: int, on_browsed: Callable[[Browsed], None]) -> Browsing | None:
        """Receive what a channel consumes of a stream, or return None if aiormq shall."""
        return Browsing(self._tap, channel, on_browsed) if self._tap else None

    @guarded
    async def declare(
        self, exchanges: tuple[str, ...], queues: list[Queue], *, passive: bool
    ) -> None:
        """Declare durable direct exchanges and bound queues; if `passive`, only check they exist.

        Raises:
            AccessRefused: the user lacks a permission.
            TopologyError: in the broker's words, which name the object and the difference.
        """
        with nullcontext() if passive else not_found_is_temporary():
            async with self._connection.channel() as channel:
                for name in exchanges:
                    await channel.declare_exchange(name, "direct", durable=True, passive=passive)
            left = list(queues)
            if not passive and await declared(self._connection, self._tap, left):
                return
            while left:
                try:
                    await self._declare_queues(left, passive)
                except amqp_errors.ChannelPreconditionFailed:
                    older = left[0].older
                    if older is None:
                        raise
                    left[0] = older

    async def _declare_queues(self, left: list[Queue], passive: bool) -> None:
        """Declare queues, and remove each from the list. A refusal closes the channel."""
        async with self._connection.channel() as channel:
            while left:
                spec = left[0]
                queue = await channel.declare_queue(
                    spec.name, durable=True, arguments=spec.arguments, passive=passive
                )
                if not passive:
                    await queue.bind(spec.exchange, spec.routing_key)
                left.pop(0)

    @guarded
    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue that exists; a binding that exists is not an error.

        Raises:
            NotDeclared: the exchange does not exist.
        """
        async with self._connection.channel() as channel:
            await (await channel.get_queue(queue, ensure=False)).bind(exchange, key)

    @guarded
    async def unbind(self, queues: list[Queue]) -> None:
        """Unbind queues from their exchanges; a missing queue or binding is not an error."""
        async with self._connection.channel() as channel:
            for spec in queues:
                queue = await channel.get_queue(spec.name, ensure=False)
                await queue.unbind(spec.exchange, spec.routing_key)

    @guarded
    async def has_exchange(self, name: str) -> bool:
        """Return whether an exchange exists."""
        try:
            async with self._connection.channel() as channel:
                await channel.get_exchange(name, ensure=True)
        except amqp_errors.ChannelNotFoundEntity:
            return False
        return True

    async def ready_messages(self, queue: str) -> int | None:
        """Return how many messages wait in a queue, or None if the queue does not exist."""
        depth = (await self.depths([queue])).get(queue)
        return depth.ready if depth else None

    @guarded
    async def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        """Return the depth of each queue that exists."""
        found = {}
        left = iter(queues)
        while (queue := next(left, None)) is not None:
            try:
                # A failed passive declaration closes its channel.
                async with self._connection.channel() as channel:
                    while queue is not None:
                        answered = await channel.declare_queue(queue, passive=True)
                        result = answered.declaration_result
                        found[queue] = Depth(result.message_count or 0, result.consumer_count or 0)
                        queue = next(left, None)
            except amqp_errors.ChannelNotFoundEntity:
                continue
        return found

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[Any]:
        """Open a channel of aio_pika, for use inside this package; close it after the block."""
        with translated():
            async with self._connection.channel() as channel:
                yield channel

    @guarded
    async def delete(self, *, queue: str | None = None, exchange: str | None = None) -> None:
        """Delete a queue, with its messages, or an exchange, if it exists."""
        async with self._connection.channel() as channel:
            if queue is not None:
                await channel.queue_delete(queue)
            if exchange is not None:
                await channel.exchange_delete(exchange)
