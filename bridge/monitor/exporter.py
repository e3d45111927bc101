"""Exports a snapshot as Prometheus gauges that only the monitor has."""

from __future__ import annotations

from math import nan

from bridge.monitor.snapshot import Snapshot
from bridge.telemetry import metrics


def export(snapshot: Snapshot) -> None:
    """Set the monitor's gauges; series of processes that are gone disappear."""
    metrics.partitions_held.clear()
    for flow in snapshot.flows:
        labels = flow.flow, flow.channel
        metrics.queue_messages.labels(*labels).set(nan if flow.is_depth_unknown else flow.depth)
        age = nan if flow.oldest_age is None else flow.oldest_age
        metrics.oldest_message.labels(*labels).set(age)
        metrics.queue_consumers.labels(*labels).set(flow.consumers)
        metrics.flow_paused.labels(*labels).set(flow.stopped is not None)
        consumers = [p.name for p in snapshot.processes if labels in p.consumes]
        for name in consumers:
            held = sum(p.holder == name for p in flow.partitions)
            metrics.partitions_held.labels(*labels, name).set(held)
    for flow_name, waiting in snapshot.dead.items():
        metrics.dead_letters_waiting.labels(flow_name).set(waiting)
