"""Combines depths, reports and the management API's numbers into one snapshot. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bridge.broker.pauses import PauseNote
from bridge.broker.topology import Depth, Queue, Topology, consumer_priority
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.held_back import operator_pause, service_pause
from bridge.monitor.roster import CERTAIN, WEBHOOK, Key, keys_of
from bridge.monitor.samples import Samples
from bridge.monitor.snapshot import Flow, Outcomes, Partition, Process, Silent, Snapshot
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
    unbound: Sequence[str] = ()
    """See `Snapshot.unbound`."""
    unsure: Collection[str] = ()
    """Names of processes that may have been killed since their report."""
    hanging: Sequence[Report] = ()
    """The latest reports of connected processes that do not report any more."""
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


def compose(seen: Observations, topology: Topology, broker: str) -> Snapshot:
    """Return the snapshot of a topology; `broker` is the URL to show."""
    samples = Samples(seen.reports)
    answering = any(WEBHOOK in keys_of(report) for report in seen.reports)
    flows = [_flow(seen, samples, INBOUND, "", topology.inbound_flows())]
    for channel in topology.channels:
        flows.append(_flow(seen, samples, REPLIES, channel, [topology.reply_queues(channel)]))
    return Snapshot(
        at=seen.at,
        namespace=topology.namespace,
        broker=broker,
        sources=[s for s in ("amqp", "reports", "management") if s in seen.sources],
        flows=flows,
        processes=[
            _process(report, seen.at, flows, is_silent=report in seen.hanging)
            for report in _by_role([*seen.reports, *seen.hanging])
        ],
        dead={
            q.routing_key: seen.depths[q.name].ready
            for q in topology.dead_queues()
            if q.name in seen.depths
        },
        being_read=[q.routing_key for q in topology.dead_queues() if q.name in seen.being_read],
        acknowledged=samples.rate("acknowledgement_seconds_count") if answering else None,
        rejected=samples.rate("requests_rejected_total") if answering else None,
        acknowledgement=samples.latency("acknowledgement"),
        alarms=list(seen.alarms),
        unbound=list(seen.unbound),
        missing=[q.name for q in topology.queues() if q.name not in seen.depths],
        silent=_silent(seen),
        incoming=samples.incoming(),
        webhooks=seen.webhooks,
    )


def _silent(seen: Observations) -> list[Silent]:
    """Return the flows with consumers that do not report, and have not just started."""
    found = []
    for key, number in seen.surplus.items():
        hanging = [report for report in seen.hanging if key in keys_of(report)]
        since = min([seen.surplus_since[key], *(report.at for report in hanging)])
        if seen.at - since >= CERTAIN:
            reporting = sum(key in keys_of(report) for report in seen.reports)
            found.append(Silent(*key, number, reporting, since, [r.name for r in hanging]))
    return found


def _consuming(key: Key, reports: Sequence[Report]) -> list[tuple[Report, Consuming]]:
    return [
        (report, consuming)
        for report in reports
        for consuming in report.consuming
        if (consuming.flow, consuming.channel) == key
    ]


def _flow(
    seen: Observations, samples: Samples, flow: str, channel: str, queues: list[list[Queue]]
) -> Flow:
    """Compose a flow; `queues` are those of each priority, one per partition."""
    key = flow, channel
    consuming = _consuming(key, seen.reports)
    consumers = _Consumers(
        consuming,
        _consuming(key, seen.hanging),
        bool(seen.surplus.get(key)) or any(r.name in seen.unsure for r, _ in consuming),
    )
    partitions = [
        _together([_queue(seen, number, name, consumers) for name in names])
        for number, queues_of_one in enumerate(zip(*queues, strict=True))
        if (names := [queue.name for queue in queues_of_one if queue.name in seen.depths])
    ]
    oldest = max(partitions, key=_severity, default=None)
    unacked = [p.unacked for p in partitions if p.unacked is not None]
    labels = {"channel": channel} if channel else {}
    return Flow(
        flow=flow,
        channel=channel,
        ready=sum(p.ready for p in partitions),
        unacked=sum(unacked) if unacked or not partitions else None,
        depth_at_least=any(p.depth_at_least for p in partitions),
        consumers=min((p.consumers for p in partitions), default=0),
        oldest_age=oldest.oldest_age if oldest else None,
        at_least=_is_at_least(oldest, partitions) if oldest else False,
        published=samples.rate("published_total", flow=flow, **labels),
        settled=samples.rate("messages_total", flow=flow, **labels),
        retries=samples.rate("retries_total", flow=flow, **labels),
        redeliveries=samples.rate("redeliveries_total", flow=flow, **labels),
        paused=any(c.paused for _, c in consuming),
        pause=service_pause([c for _, c in consuming if c.paused]),
        stopped=operator_pause(seen.stopped[key], consuming) if key in seen.stopped else None,
        queueing=samples.latency("queueing", flow=flow, **labels),
        work=samples.latency("turn" if flow == INBOUND else "delivery", **labels),
        partitions=partitions,
        outcomes=_outcomes(samples, channel) if channel else None,
    )


def _outcomes(samples: Samples, channel: str) -> Outcomes | None:
    delivered, *failed = (
        samples.rate("reply_outcomes_total", channel=channel, outcome=outcome) or 0.0
        for outcome in ("delivered", "dead_letter", "template")
    )
    if not delivered and not any(failed):
        return None
    took = samples.latency("time_to_delivery", channel=channel)
    codes = samples.by("code", "receipt_failures_total", channel=channel)
    return Outcomes(delivered, sum(failed), took, codes)


def _together(queues: list[Partition]) -> Partition:
    """Return a partition with the messages of all its queues. The first one names it."""
    first, *others = queues
    if not others:
        return first
    oldest = max(queues, key=_severity)
    unacked = [q.unacked for q in queues if q.unacked is not None]
    return msgspec.structs.replace(
        first,
        ready=sum(q.ready for q in queues),
        unacked=sum(unacked) if unacked else None,
        depth_at_least=any(q.depth_at_least for q in queues),
        consumers=min(q.consumers for q in queues),
        oldest_age=oldest.oldest_age,
        at_least=_is_at_least(oldest, queues),
    )


def _is_at_least(oldest: Partition, among: Sequence[Partition]) -> bool:
    """Return whether the oldest known age is a lower bound for all of them."""
    is_one_unknown = any(one.oldest_age is None for one in among)
    return oldest.at_least or (bool(oldest.oldest_age) and is_one_unknown)


class _Consumers(NamedTuple):
    """The connected processes that consume a flow."""

    reporting: list[tuple[Report, Consuming]]
    hanging: list[tuple[Report, Consuming]]
    is_incomplete: bool
    """There are others, or one of them may have been killed."""


def _queue(seen: Observations, number: int, queue: str, consumers: _Consumers) -> Partition:
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
        ready=depth.ready,
        unacked=unacked,
        depth_at_least=depth_at_least,
        consumers=depth.consumers,
        holder=_holder(queue, consumers, [report for report, _ in (sure or frozen)], depth),
        oldest_age=age,
        at_least=at_least,
    )


Held = Sequence[tuple[Report, HeldMessages]]


def _unacked(
    held: Held, frozen: Held, consumers: _Consumers, depth: Depth
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


def _severity(partition: Partition) -> float:
    """Return the oldest age; an unknown age ranks just above an empty queue."""
    return 1e-9 if partition.oldest_age is None else partition.oldest_age


def _holder(
    queue: str, consumers: _Consumers, holding: Sequence[Report], depth: Depth
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


def _process(report: Report, now: float, flows: list[Flow], *, is_silent: bool) -> Process:
    return Process(
        name=report.name,
        role=report.role,
        uptime=max(0.0, now - report.started_at),
        consumes=[(c.flow, c.channel) for c in report.consuming],
        partitions=sum(p.holder == report.name for flow in flows for p in flow.partitions),
        lanes=sum(c.lanes for c in report.consuming),
        slots=sum(c.slots for c in report.consuming),
        busy=sum(c.busy for c in report.consuming),
        model=report.model,
        silent_for=max(0.0, now - report.at) if is_silent else 0.0,
        quiet=sum(c.quiet for c in report.consuming),
    )


def _by_role(reports: Sequence[Report]) -> list[Report]:
    order = {"webhook": 0, "worker": 1, "deliver": 2}
    return sorted(reports, key=lambda r: (order.get(r.role, 3), r.name))
