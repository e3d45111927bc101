"""The private queue of a process, on which replies for its waiting requests arrive."""

from __future__ import annotations

from collections.abc import Callable

from bridge.broker.connection import Connection
from bridge.broker.declare import ensure_topology
from bridge.broker.links import Link
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.errors import BrokerError, NotDeclared
from bridge.messages import Delivery

REBIND = 3.0
"""Seconds after which the queue is bound again, in case the exchange was deleted."""


class PrivateQueue(Link):
    """An exclusive queue of this process. It and its messages end with the connection."""

    kind = "collector"

    def __init__(
        self,
        url: Urls,
        name: str,
        topology: Topology,
        on_message: Callable[[Delivery], None],
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(url, name)
        self._topology = topology
        self._on_message = on_message
        self._on_lost = on_lost
        self.queue: str | None = None
        """Its name, for `ReplyTo.queue`; None while disconnected."""

    async def _session(self, connection: Connection) -> None:
        await ensure_topology(connection, self._topology, known=self._was_up)
        channel = await connection.consumer_channel(prefetch=0)
        try:
            self.queue = await channel.consume_private(
                self._on_message, self._topology.private_exchange
            )
            self._is_ready("collecting replies")
            while True:
                await connection.lost(timeout=REBIND)
                await self._bind_again(connection, self.queue)
        finally:
            self.queue = None
            self._on_lost()
            await channel.close()

    async def _bind_again(self, connection: Connection, queue: str) -> None:
        exchange = self._topology.private_exchange
        try:
            try:
                await connection.bind(queue, exchange, queue)
            except NotDeclared:
                await connection.declare((exchange,), [], passive=False)
                await connection.bind(queue, exchange, queue)
            self.problem = ""
        except BrokerError as error:
            self.problem = f"the queue for replies is not bound: {error}"
