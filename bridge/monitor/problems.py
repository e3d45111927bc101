"""The problems in a snapshot: the lines for which `status` exits with 1."""

from __future__ import annotations

import time
from typing import NamedTuple

from bridge.messages import INBOUND
from bridge.monitor.snapshot import Flow, Silent, Snapshot
from bridge.runtime.durations import age, spelled


class Limits(NamedTuple):
    """Values above which something is a problem; None: no limit."""

    depth: int | None = None
    """Messages per flow and channel."""
    age: float | None = None
    """Seconds."""
    dead: int | None = None
    """Dead letters in total."""


def name_of(flow: Flow) -> str:
    """Return a flow's name on screen: `inbound` or `replies <channel>`."""
    return f"{flow.flow} {flow.channel}" if flow.channel else flow.flow


def problems(snapshot: Snapshot, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    """Return one line per problem, most severe first."""
    found = list(snapshot.alarms)
    if snapshot.missing:
        found.append(
            f"missing queues: {len(snapshot.missing)}, such as {snapshot.missing[0]}; start the"
            " roles, or run: rasa-bridge topology declare"
        )
    if snapshot.unbound:
        found.append(
            f"queues without their binding: {len(snapshot.unbound)}, such as {snapshot.unbound[0]};"
            " run: rasa-bridge topology declare"
        )
    found += [_silence(silent) for silent in snapshot.silent]
    for flow in snapshot.flows:
        found += _of_flow(flow, limits, snapshot.at)
    dead = sum(snapshot.dead.values())
    if limits.dead is not None and dead > limits.dead:
        found.append(f"dead letters: {dead}, limit {limits.dead}; run: rasa-bridge dead list")
    return found


def notices(snapshot: Snapshot, deaths: int = 0) -> list[str]:
    """Return one line per thing that is not as it should be, and no problem yet.

    `deaths` is the number of processes that died recently.
    """
    found = []
    if deaths:
        found.append(f"{count(deaths, 'process')} died in the last 15 minutes: see the events")
    dead = sum(snapshot.dead.values())
    if dead:
        found.append(f"{count(dead, 'dead letter')}; look at: rasa-bridge dead list")
    return found


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 process`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def clock(at: float) -> str:
    """Return the local time of day of a Unix time, such as `13:44:12`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _silence(silent: Silent) -> str:
    name = f"{silent.flow} {silent.channel}".rstrip()
    consumers = silent.number + silent.reporting
    who = f" ({', '.join(silent.names)})" if silent.names else ""
    does = "does" if silent.number == 1 else "do"
    return (
        f"{name}: {silent.number} of {count(consumers, 'consumer')} {does} not report since"
        f" {clock(silent.since)}{who}, so its messages are unknown; restart a process that hangs"
    )


def _paused(now: float, flow: Flow) -> str:
    """Return what is wrong, since when, how much waits, and what happens next."""
    name, pause = name_of(flow), flow.pause
    if pause is None:  # a process of an earlier version
        return f"{name}: paused because its service is down"
    least = "at least " if flow.depth_at_least else ""
    parts = [
        f"{name}: {pause.why or 'its service is down'}, since {clock(pause.since)}",
        f"{least}{flow.depth} {'reply waits' if flow.depth == 1 else 'replies wait'}",
    ]
    if flow.oldest_age:
        parts.append(f"oldest {age(flow.oldest_age)}")
    if pause.next_at:
        parts.append(f"next probe in {spelled(max(1.0, pause.next_at - now))}")
    else:
        parts.append("probes with the next reply")
    return ", ".join(parts)


def _of_flow(flow: Flow, limits: Limits, now: float) -> list[str]:
    name, found = name_of(flow), []
    if flow.partitions and not flow.consumers:
        unconsumed = sum(not p.consumers for p in flow.partitions)
        count = len(flow.partitions)
        where = "" if unconsumed == count else f" on {unconsumed} of {count} partitions"
        start = "a worker" if flow.flow == INBOUND else "a deliver process"
        found.append(f"{name}: no consumer{where}; start {start}")
    if flow.paused:
        found.append(_paused(now, flow))
    if limits.depth is not None and flow.depth > limits.depth:
        least = "at least " if flow.depth_at_least else ""
        found.append(f"{name}: {least}{flow.depth} messages, limit {limits.depth}")
    oldest = flow.oldest_age or 0.0
    if limits.age is not None and oldest > limits.age:
        found.append(f"{name}: oldest message is {age(oldest)} old, limit {age(limits.age)}")
    return found
