"""What is wrong in a snapshot: the lines for which `status` exits with 1."""

from __future__ import annotations

from typing import NamedTuple

from bridge.monitor.snapshot import Flow, Snapshot
from bridge.runtime.durations import age


class Limits(NamedTuple):
    """None: no limit."""

    depth: int | None = None
    """Messages, per flow and channel."""
    age: float | None = None
    """Seconds."""
    dead: int | None = None
    """Dead letters in all."""


def name_of(flow: Flow) -> str:
    return f"{flow.flow} {flow.channel}" if flow.channel else flow.flow


def problems(snapshot: Snapshot, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    """Return one line for each thing that somebody should look at, the gravest first."""
    found = list(snapshot.alarms)
    if snapshot.missing:
        found.append(
            f"{len(snapshot.missing)} queues do not exist, such as {snapshot.missing[0]}: start the"
            " roles, or declare them with: rasa-bridge topology declare"
        )
    for flow in snapshot.flows:
        found += _of_flow(flow, limits)
    dead = sum(snapshot.dead.values())
    if limits.dead is not None and dead > limits.dead:
        found.append(f"{dead} dead letters are more than {limits.dead}: rasa-bridge dead list")
    return found


def _of_flow(flow: Flow, limits: Limits) -> list[str]:
    name, found = name_of(flow), []
    if flow.partitions and not flow.consumers:
        alone = sum(not p.consumers for p in flow.partitions)
        where = "" if alone == len(flow.partitions) else f" on {alone} partitions"
        role = "worker" if flow.flow == "inbound" else "deliver"
        found.append(f"{name}: no consumer{where}: start a {role}")
    if flow.paused:
        found.append(f"{name}: paused, its service is down")
    if limits.depth is not None and flow.depth > limits.depth:
        found.append(f"{name}: {flow.depth} messages are more than {limits.depth}")
    oldest = flow.oldest_age or 0.0
    if limits.age is not None and oldest > limits.age:
        found.append(f"{name}: its oldest message is {age(oldest)} old, over {age(limits.age)}")
    return found
