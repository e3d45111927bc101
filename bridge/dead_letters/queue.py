"""Finds dead letters on their queues, and deletes them. It publishes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from bridge.broker.connection import connect
from bridge.broker.topology import Topology
from bridge.broker.url import Urls
from bridge.dead_letters.filter import Filter
from bridge.dead_letters.reading import Reading, reading
from bridge.errors import BrokerUnavailable, TopologyError
from bridge.messages import DeadLetter, Delivery, Flow

Depths = Mapping[Flow, int]
"""Flow → number of dead letters when the command began; later ones are not read."""


async def depths(url: Urls, topology: Topology, wanted: Filter) -> Depths:
    """Return the number of dead letters in each flow that `wanted` selects.

    Raises:
        BrokerUnavailable: the broker cannot be reached.
        TopologyError: the queue does not exist.
    """
    found: dict[Flow, int] = {}
    try:
        async with connect(url, "dead letters") as connection:
            for flow in wanted.flows:
                name = queue_name(topology, flow)
                ready = await connection.ready_messages(name)
                if ready is None:
                    raise TopologyError(
                        f"queue {name} does not exist",
                        fix="fix bridge.namespace, or declare it: rasa-bridge topology declare",
                    )
                found[flow] = ready
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"no broker: {error.problem}", fix=error.fix or "start it, or fix bridge.url"
        ) from error
    return found


def queue_name(topology: Topology, flow: Flow) -> str:
    """Return the name of a flow's dead-letter queue."""
    return next(q.name for q in topology.dead_queues() if q.routing_key == flow)


def nothing() -> None:
    """Show no progress."""


async def scan(
    url: Urls,
    topology: Topology,
    wanted: Filter,
    among: Depths,
    tick: Callable[[], None] = nothing,
) -> AsyncGenerator[tuple[DeadLetter, Delivery], None]:
    """Yield each dead letter that matches; all stay on their queues. Close it to stop early.

    `tick` is called for each one read.
    """
    for flow, depth in among.items():
        if not depth:
            continue
        async with reading(url, queue_name(topology, flow), depth) as messages:
            async for delivery in messages:
                messages.keep()
                tick()
                letter = DeadLetter.read(delivery, flow)
                if wanted.matches(letter):
                    yield letter, delivery


async def first(
    url: Urls,
    topology: Topology,
    wanted: Filter,
    limit: int,
    show: Callable[[list[DeadLetter], int | None], None],
) -> int:
    """Pass the first `limit` dead letters that match to `show`; return the number that match.

    `show` is called once, as soon as they are known, with that number if it is known, too. To
    count, or to leave the queue as it was, may take longer.
    """
    among = await depths(url, topology, wanted)
    known = sum(among.values()) if wanted.takes_all else None
    letters: list[DeadLetter] = []
    total = 0
    async with aclosing(scan(url, topology, wanted, among)) as found:
        async for letter, _ in found:
            total += 1
            if total <= limit:
                letters.append(letter)
            if total == limit:
                show(letters, known)
                if known is not None:
                    break
    if total < limit:
        show(letters, total)
    return known if known is not None and total == limit else total


async def count(url: Urls, topology: Topology, wanted: Filter, among: Depths) -> int:
    """Return the number of dead letters that match."""
    if wanted.takes_all:
        return sum(among.values())
    return sum([1 async for _ in scan(url, topology, wanted, among)])


class Purge:
    """Deletes the dead letters that match; the others stay on their queues."""

    def __init__(self, url: Urls, topology: Topology, wanted: Filter) -> None:
        self._url = url
        self._topology = topology
        self._wanted = wanted
        self._stopped = False
        self.deleted = 0
        self.unseen = 0
        self.is_complete = False
        """Whether every dead letter that it may delete was looked at."""

    def stop(self) -> None:
        """Delete nothing more."""
        self._stopped = True

    async def run(self, among: Depths, most: int | None, tick: Callable[[], None]) -> None:
        """Delete at most `most` dead letters (None: all); call `tick` for each one read.

        Raises:
            BrokerUnavailable: the connection was lost; the last ones may still exist.
        """
        for flow, depth in among.items():
            queue = queue_name(self._topology, flow)
            async with reading(self._url, queue, depth, removes=True) as messages:
                is_complete = await self._delete(messages, flow, most, tick)
            if not is_complete:
                return
            self.unseen += messages.unseen
        self.is_complete = True

    async def _delete(
        self, messages: Reading, flow: Flow, most: int | None, tick: Callable[[], None]
    ) -> bool:
        async for delivery in messages:
            letter = DeadLetter.read(delivery, flow)
            if not self._stopped and self.deleted != most and self._wanted.matches(letter):
                await messages.remove(delivery)
                self.deleted += 1
            else:
                messages.keep()
            tick()
            if self._stopped:
                return False
        return True
