"""Combines depths, reports and the management API's numbers into one snapshot. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bridge.broker.topology import Depth, Queue, Topology, consumer_priority
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.samples import Samples
from bridge.monitor.snapshot import Flow, Partition, Process, Snapshot
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


def compose(seen: Observations, topology: Topology, broker: str) -> Snapshot:
    """Return the snapshot of a topology; `broker` is the URL to show."""
    samples = Samples(seen.reports)
    flows = [_flow(seen, samples, INBOUND, "", topology.inbound_flows())]
    for channel in topology.channels:
        flows.append(_flow(seen, samples, REPLIES, channel, [topology.reply_queues(channel)]))
    return Snapshot(
        at=seen.at,
        namespace=topology.namespace,
        broker=broker,
        sources=[s for s in ("amqp", "reports", "management") if s in seen.sources],
        flows=flows,
        processes=[_process(report, seen.at, flows) for report in _by_role(seen.reports)],
        dead={
            q.routing_key: seen.depths[q.name].ready
            for q in topology.dead_queues()
            if q.name in seen.depths
        },
        acknowledged=samples.rate("acknowledgement_seconds_count"),
        rejected=samples.rate("requests_rejected_total"),
        acknowledgement=samples.latency("acknowledgement"),
        alarms=list(seen.alarms),
        unbound=list(seen.unbound),
        missing=[q.name for q in topology.queues() if q.name not in seen.depths],
    )


def _flow(
    seen: Observations, samples: Samples, flow: str, channel: str, queues: list[list[Queue]]
) -> Flow:
    """Compose a flow; `queues` are those of each priority, one per partition."""
    consuming = [
        (report, c)
        for report in seen.reports
        for c in report.consuming
        if (c.flow, c.channel) == (flow, channel)
    ]
    partitions = [
        _together([_queue(seen, number, name, consuming) for name in names])
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
        unacked=sum(unacked) if len(unacked) == len(partitions) else None,
        consumers=min((p.consumers for p in partitions), default=0),
        oldest_age=oldest.oldest_age if oldest else None,
        at_least=oldest.at_least if oldest else False,
        published=samples.rate("published_total", flow=flow, **labels),
        settled=samples.rate("messages_total", flow=flow, **labels),
        retries=samples.rate("retries_total", flow=flow, **labels),
        redeliveries=samples.rate("redeliveries_total", flow=flow, **labels),
        paused=any(c.paused for _, c in consuming),
        queueing=samples.latency("queueing", flow=flow, **labels),
        work=samples.latency("turn" if flow == INBOUND else "delivery", **labels),
        partitions=partitions,
    )


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
        unacked=sum(unacked) if len(unacked) == len(queues) else None,
        consumers=min(q.consumers for q in queues),
        oldest_age=oldest.oldest_age,
        at_least=oldest.at_least,
    )


def _queue(
    seen: Observations, number: int, queue: str, consuming: list[tuple[Report, Consuming]]
) -> Partition:
    depth = seen.depths[queue]
    held = [(report, c.held[queue]) for report, c in consuming if queue in c.held]
    # Reports are newer than the API's numbers, but complete only if every consumer reports.
    unacked = depth.unacked
    if unacked is None or len(consuming) >= depth.consumers:
        unacked = sum(h.number for _, h in held) if consuming or not depth.consumers else None
    age, at_least = _oldest_age(seen, queue, held, depth)
    return Partition(
        number=number,
        queue=queue,
        ready=depth.ready,
        unacked=unacked,
        consumers=depth.consumers,
        holder=_holder(queue, consuming, [report for report, _ in held], depth),
        oldest_age=age,
        at_least=at_least,
    )


def _oldest_age(
    seen: Observations, queue: str, held: list[tuple[Report, HeldMessages]], depth: Depth
) -> tuple[float | None, bool]:
    """Return the age of a queue's oldest message, and whether it is only a lower bound.

    A queue delivers in order, so its oldest message is held by a consumer, if one holds any. The
    age is that at the time of the report; the message may have been settled since.
    """
    if held:
        return max(0.0, *(report.at - h.oldest_at for report, h in held)), False
    since = seen.waiting_since.get(queue, seen.at)
    if since < seen.at:
        return seen.at - since, True
    return (None, False) if depth.ready else (0.0, False)


def _severity(partition: Partition) -> float:
    """Return the oldest age; an unknown age ranks just above an empty queue."""
    return 1e-9 if partition.oldest_age is None else partition.oldest_age


def _holder(
    queue: str,
    consuming: list[tuple[Report, Consuming]],
    holding: list[Report],
    depth: Depth,
) -> str | None:
    """Return the process that holds messages, or else has the highest consumer priority.

    RabbitMQ 4 activates the consumer with the highest priority.
    """
    if holding:
        return max(holding, key=lambda report: report.at).name
    if not depth.consumers or not consuming:
        return None
    return max(
        (report.name for report, _ in consuming), key=lambda name: consumer_priority(name, queue)
    )


def _process(report: Report, now: float, flows: list[Flow]) -> Process:
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
    )


def _by_role(reports: Sequence[Report]) -> list[Report]:
    order = {"webhook": 0, "worker": 1, "deliver": 2}
    return sorted(reports, key=lambda r: (order.get(r.role, 3), r.name))
