"""Stands in for aio_pika's exchange: a confirm may be lost, late or a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Protocol

from aiormq.exceptions import DeliveryError, PublishError
from pamqp.commands import Basic

from tests.simulation.network import LATE, Wire


class Connection(Protocol):
    """What an exchange needs of its connection."""

    wire: Wire

    def waited(self, future: asyncio.Future[Any]) -> Awaitable[Any]: ...


class Exchange:
    """Publishes."""

    def __init__(
        self, connection: Connection, check: Callable[[], None], name: str, confirms: bool
    ) -> None:
        """`check` raises if the channel is closed; `confirms` tells whether it has confirms."""
        self._connection = connection
        self._check = check
        self._name = name
        self._confirms = confirms
        self._broken: set[str] = set()
        """Routing keys for which nothing is stored any more."""

    async def publish(self, message: Any, routing_key: str, *, mandatory: bool = False) -> None:
        connection, wire = self._connection, self._connection.wire
        network = wire.network
        self._check()
        faults, random, after = network.faults, network.random.random, network.universe.after
        confirmed = asyncio.get_running_loop().create_future()

        def store() -> None:
            if self._is_lost(routing_key) or not network.broker.answers(self._name, routing_key):
                return
            if self._name != network.broker.topology.private_exchange and random() < faults.refused:
                wire.receive(fail, confirmed, DeliveryError(None, Basic.Nack()))
                return
            headers = dict(message.headers)
            properties = message.correlation_id or "", message.type or "", headers
            bound = network.broker.publish(self._name, routing_key, message.body, *properties)
            if not self._confirms:
                return
            if not bound:
                returned: Any = SimpleNamespace(delivery=Basic.Return(routing_key=routing_key))
                wire.receive(fail, confirmed, PublishError(returned, returned.delivery))
            elif random() < faults.late_confirm:
                after(random() * LATE, lambda: wire.receive(succeed, confirmed, None))
            elif random() >= faults.lost_confirm:
                wire.receive(succeed, confirmed, None)

        wire.send(store, publishes=True)
        if not self._confirms:
            return
        await connection.waited(confirmed)

    def _is_lost(self, key: str) -> bool:
        """Decide whether a message is lost.

        What a channel publishes to one queue is stored in order: if a message is lost, all later
        ones are. This matters where several are under way, that is for overflow queues.
        """
        network = self._connection.wire.network
        is_lost = key in self._broken or network.random.random() < network.faults.lost_publish
        if is_lost and self._name == network.broker.topology.private_exchange:
            self._broken.add(key)
        return is_lost


def succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
