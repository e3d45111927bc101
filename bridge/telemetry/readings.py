"""What a process reports of its metrics to the monitor."""

from __future__ import annotations

from collections import Counter as Counts
from typing import Any, NamedTuple

from bridge.telemetry import metrics
from bridge.telemetry.durations import Sketch

REPORTED: tuple[Any, ...] = (
    metrics.acknowledgement,
    metrics.queueing,
    metrics.turn,
    metrics.turn_errors,
    metrics.delivery,
    metrics.published,
    metrics.messages,
    metrics.retries,
    metrics.redeliveries,
    metrics.dead_letters,
    metrics.reply_outcomes,
    metrics.receipt_failures,
    metrics.publish_failures,
    metrics.requests_rejected,
)
"""The metrics whose increase a process reports to the monitor."""

Labels = tuple[tuple[str, str], ...]


dead_causes: Counts[Labels] = Counts()
"""Dead letters by flow, channel and cause. No metric: a label may not have so many values."""


def note_dead(flow: str, channel: str, cause: str) -> None:
    """Count a dead letter; its cause is the HTTP status, or the class of the error."""
    dead_causes[("flow", flow), ("channel", channel), ("cause", cause)] += 1


class Readings(NamedTuple):
    """Values since the process started, by name (without `rasa_bridge_`) and labels."""

    samples: dict[tuple[str, Labels], float]
    sketches: dict[tuple[str, Labels], Sketch]


def readings() -> Readings:
    """Return every non-zero sample of `REPORTED`, and every sketch. Buckets are in no sample."""
    samples = {
        (sample.name.removeprefix("rasa_bridge_"), tuple(sample.labels.items())): sample.value
        for metric in REPORTED
        for family in metric.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket"))
    }
    samples |= {("dead_causes", labels): float(n) for labels, n in dead_causes.items()}
    sketched: dict[tuple[str, Labels], Sketch] = {}
    for name, metric in metrics.SKETCHED.items():
        children: dict[Any, Any] = metric._metrics
        for values, child in list(children.items()):
            labels = tuple(zip(metric._labelnames, values, strict=True))
            sketched[name, labels] = Counts(child.sketch)
    return Readings(samples, sketched)
