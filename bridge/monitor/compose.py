"""Combines depths, reports and the management API's numbers into one snapshot. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.broker.topology import Queue, Topology
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.held_back import operator_pause, service_pause
from bridge.monitor.partitions import (
    Consumers,
    Observations,
    is_at_least,
    queue_of,
    severity,
    together,
)
from bridge.monitor.roster import CERTAIN, WEBHOOK, Key, keys_of
from bridge.monitor.samples import Samples
from bridge.monitor.snapshot import Flow, Outcomes, Process, Silent, Snapshot
from bridge.telemetry.reports import Consuming, Report

ACCEPTS_NOTHING = "it accepts nothing, so webhooks answer 503 and no process can report"


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
            _process(report, seen, flows, is_silent=report not in seen.reports)
            for report in _by_role([*seen.reports, *seen.hanging, *seen.unheard])
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
        alarms=_alarms(seen),
        alarms_since=seen.alarms_since,
        unbound=list(seen.unbound),
        missing=[q.name for q in topology.queues() if q.name not in seen.depths],
        silent=[] if seen.blocked else _silent(seen),
        incoming=samples.incoming(),
        webhooks=seen.webhooks,
        closed_since=seen.closed_since,
        is_recovering=seen.is_recovering,
    )


def _alarms(seen: Observations) -> list[str]:
    if not seen.blocked or seen.alarms:
        return list(seen.alarms)
    return [f"RabbitMQ has a {seen.blocked}: {ACCEPTS_NOTHING}"]


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
    consumers = Consumers(
        consuming,
        _consuming(key, seen.hanging),
        bool(seen.surplus.get(key)) or any(r.name in seen.unsure for r, _ in consuming),
    )
    partitions = [
        together([queue_of(seen, number, name, consumers) for name in names])
        for number, queues_of_one in enumerate(zip(*queues, strict=True))
        if (names := [queue.name for queue in queues_of_one if queue.name in seen.depths])
    ]
    oldest = max(partitions, key=severity, default=None)
    unacked = [p.unacked for p in partitions if p.unacked is not None]
    labels = {"channel": channel} if channel else {}
    cause, of_that = samples.commonest("cause", "dead_causes", flow=flow, **labels)
    # Else what its consumers do is unknown, and not nothing.
    heard = consuming or not seen.surplus.get(key)
    erred = max((c for _, c in consuming), key=lambda c: c.turn_error_at, default=None)
    return Flow(
        flow=flow,
        channel=channel,
        ready=sum(p.ready for p in partitions),
        unacked=sum(unacked) if unacked or not partitions else None,
        depth_at_least=any(p.depth_at_least for p in partitions),
        consumers=min((p.consumers for p in partitions), default=0),
        oldest_age=oldest.oldest_age if oldest else None,
        at_least=is_at_least(oldest, partitions) if oldest else False,
        published=samples.rate("published_total", flow=flow, **labels),
        settled=samples.rate("messages_total", flow=flow, **labels) if heard else None,
        dead=samples.increase("messages_total", flow=flow, outcome="dead", **labels),
        done=samples.increase("messages_total", flow=flow, **labels),
        dead_of=cause,
        dead_of_that=of_that,
        turns=0 if channel else samples.increase("turn_seconds_count"),
        turn_errors=0 if channel else samples.increase("turn_errors_total"),
        turn_error=erred.turn_error if erred else "",
        turn_error_at=erred.turn_error_at if erred else 0.0,
        retries=samples.rate("retries_total", flow=flow, **labels) if heard else None,
        redeliveries=samples.rate("redeliveries_total", flow=flow, **labels) if heard else None,
        paused=any(c.paused for _, c in consuming),
        pause=service_pause([c for _, c in consuming if c.paused]),
        stopped=operator_pause(seen.stopped[key], consuming) if key in seen.stopped else None,
        queueing=samples.latency("queueing", flow=flow, **labels),
        work=samples.latency("turn" if flow == INBOUND else "delivery", **labels),
        partitions=partitions,
        slots=sum(c.slots for _, c in consuming),
        busy=sum(c.busy for _, c in consuming),
        paced=sum(c.paced for _, c in consuming),
        retrying=sum(c.retrying for _, c in consuming),
        failing=next((c.failing for _, c in consuming if c.retrying and c.failing), ""),
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


def _process(report: Report, seen: Observations, flows: list[Flow], *, is_silent: bool) -> Process:
    return Process(
        name=report.name,
        role=report.role,
        uptime=max(0.0, seen.at - report.started_at),
        consumes=[(c.flow, c.channel) for c in report.consuming],
        partitions=sum(p.holder == report.name for flow in flows for p in flow.partitions),
        lanes=sum(c.lanes for c in report.consuming),
        slots=sum(c.slots for c in report.consuming),
        busy=sum(c.busy for c in report.consuming),
        model=report.model,
        silent_for=max(0.0, seen.at - report.at) if is_silent else 0.0,
        quiet=sum(c.quiet for c in report.consuming),
        clock_ahead=seen.ahead(report.name),
    )


def _by_role(reports: Sequence[Report]) -> list[Report]:
    order = {"webhook": 0, "worker": 1, "deliver": 2}
    return sorted(reports, key=lambda r: (order.get(r.role, 3), r.name))
