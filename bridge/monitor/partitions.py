"""What is known of each partition: how much waits, since when, and who holds it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bridge.broker.pauses import PauseNote
from bridge.broker.topology import Depth, consumer_priority
from bridge.monitor.roster import Key
from bridge.monitor.snapshot import Partition
from bridge.telemetry.reports import Consuming, HeldMessages, Report


class Observations(NamedTuple):
    """Everything observed at one moment."""

    at: float
    """Unix time."""
    depths: Mapping[str, Depth]
    """Queue → depth; a missing queue has no entry."""
    reports: Sequence[Report]
    """The latest report of each live process."""
    waiting_since: Mapping[str, float]
    """Queue → Unix time since which messages have been waiting there while no process held one."""
    sources: Collection[str]
    """See `Snapshot.sources`."""
    alarms: Sequence[str] = ()
    alarms_since: float | None = None
    """See `Snapshot.alarms_since`."""
    is_recovering: bool = False
    """See `Snapshot.is_recovering`."""
    closed_since: float | None = None
    """See `Snapshot.closed_since`."""
    blocked: str = ""
    """The alarm because of which no process can report."""
    unbound: Sequence[str] = ()
    """See `Snapshot.unbound`."""
    unsure: Collection[str] = ()
    """Names of processes that may have been killed since their report."""
    hanging: Sequence[Report] = ()
    """The latest reports of connected processes that do not report any more."""
    unheard: Sequence[Report] = ()
    """The latest reports of processes that cannot report at present, or connect again."""
    ahead: Callable[[str], float] = lambda _: 0.0
    """Name of a process → `Process.clock_ahead`."""
    surplus: Mapping[Key, int] = {}
    """Flow and channel → connected processes that do not report,"""
    surplus_since: Mapping[Key, float] = {}
    """and since when there are some (Unix time)."""
    orphans: Mapping[str, float] = {}
    """Queue → Unix time of the oldest message that a process held there when it died."""
    stopped: Mapping[Key, PauseNote | None] = {}
    """Flow and channel that an operator has paused → by whom and why, if that is known."""
    being_read: Collection[str] = ()
    """Dead-letter queues of which a reader may hold messages."""
    webhooks: int | None = None
    """Connected webhooks; None: unknown."""


class Consumers(NamedTuple):
    """The connected processes that consume a flow."""

    reporting: list[tuple[Report, Consuming]]
    hanging: list[tuple[Report, Consuming]]
    is_incomplete: bool
    """There are others, or one of them may have been killed."""

    @property
    def all(self) -> list[Consuming]:
        return [consuming for _, consuming in (*self.reporting, *self.hanging)]


def queue_of(seen: Observations, number: int, queue: str, consumers: Consumers) -> Partition:
    """Return what is known of one queue, as a partition of that number."""
    depth = seen.depths[queue]
    held = [(report, c.held[queue]) for report, c in consumers.reporting if queue in c.held]
    frozen = [(report, c.held[queue]) for report, c in consumers.hanging if queue in c.held]
    sure = [one for one in held if one[0].name not in seen.unsure]
    unacked, depth_at_least = _unacked(sure, frozen, consumers, depth)
    age, at_least = _oldest_age(seen, queue, held, frozen, depth)
    if age == 0.0 and depth_at_least:
        age = None
    return Partition(
        number=number,
        queue=queue,
        ready=depth.ready + max([0, *(c.overflowed.get(queue, 0) for c in consumers.all)]),
        unacked=unacked,
        depth_at_least=depth_at_least,
        consumers=depth.consumers,
        holder=_holder(queue, consumers, [report for report, _ in (sure or frozen)], depth),
        oldest_age=age,
        at_least=at_least,
    )


Held = Sequence[tuple[Report, HeldMessages]]


def _unacked(
    held: Held, frozen: Held, consumers: Consumers, depth: Depth
) -> tuple[int | None, bool]:
    """Return how many messages are in flight (None: unknown), and whether there may be more.

    A queue has one active consumer, so only the latest report counts.
    """
    is_known = not consumers.is_incomplete and (consumers.reporting or not depth.consumers)
    if not is_known and depth.unacked is not None:
        return depth.unacked, False
    if held:
        return max(held, key=lambda one: one[0].at)[1].number, False
    if is_known or not depth.consumers:
        return 0, False
    if frozen:
        return max(one.number for _, one in frozen), True
    return None, True


def _oldest_age(
    seen: Observations, queue: str, held: Held, frozen: Held, depth: Depth
) -> tuple[float | None, bool]:
    """Return the age of a queue's oldest message, and whether it is only a lower bound.

    A queue delivers in order, so its oldest message is held by a consumer, if one holds any. The
    age is that at the time of the report; the message may have been settled since. A process that
    hangs settles nothing, and what a dead one held is on its queue again.
    """
    left = [h.oldest_at for _, h in frozen]
    if queue in seen.orphans:
        left.append(seen.orphans[queue])
    ages = [report.at - h.oldest_at for report, h in held] + [seen.at - at for at in left]
    if ages:
        return max(0.0, *ages), False
    since = seen.waiting_since.get(queue, seen.at)
    if since < seen.at:
        return seen.at - since, True
    return (None, False) if depth.ready else (0.0, False)


def _holder(
    queue: str, consumers: Consumers, holding: Sequence[Report], depth: Depth
) -> str | None:
    """Return the process that holds messages, or else has the highest consumer priority.

    RabbitMQ 4 activates the consumer with the highest priority.
    """
    if holding:
        return max(holding, key=lambda report: report.at).name
    names = [report.name for report, _ in (*consumers.reporting, *consumers.hanging)]
    if not depth.consumers or not names:
        return None
    return max(names, key=lambda name: consumer_priority(name, queue))


def together(queues: list[Partition]) -> Partition:
    """Return a partition with the messages of all its queues. The first one names it."""
    first, *others = queues
    if not others:
        return first
    oldest = max(queues, key=severity)
    unacked = [q.unacked for q in queues if q.unacked is not None]
    return msgspec.structs.replace(
        first,
        ready=sum(q.ready for q in queues),
        unacked=sum(unacked) if unacked else None,
        depth_at_least=any(q.depth_at_least for q in queues),
        consumers=min(q.consumers for q in queues),
        oldest_age=oldest.oldest_age,
        at_least=is_at_least(oldest, queues),
    )


def is_at_least(oldest: Partition, among: Sequence[Partition]) -> bool:
    """Return whether the oldest known age is a lower bound for all of them."""
    is_one_unknown = any(one.oldest_age is None for one in among)
    return oldest.at_least or (bool(oldest.oldest_age) and is_one_unknown)


def severity(partition: Partition) -> float:
    """Return the oldest age; an unknown age ranks just above an empty queue."""
    return 1e-9 if partition.oldest_age is None else partition.oldest_age
