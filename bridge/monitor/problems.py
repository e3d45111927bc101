"""The problems in a snapshot: the lines for which `status` exits with 1."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from bridge.broker.presence import WEBHOOKS
from bridge.messages import INBOUND, REPLIES
from bridge.monitor.snapshot import Flow, Silent, Snapshot
from bridge.runtime.durations import age, spelled
from bridge.telemetry.reports import WINDOW

RUNBOOKS = "docs/how-to/incidents.md"
"""The page with a section for each `Problem.runbook`. The monitor serves it, too."""

MANY_DEAD = 5
"""Dead letters in 15 seconds that are a problem if they are at least half of what is settled."""
AGAIN = "RabbitMQ was away, and processes connect again"
NAMED = 5
"""Channels that a problem of several channels names."""

Action = Literal["try", "pause", "resume"]


class Limits(NamedTuple):
    """Values above which something is a problem; None: no limit."""

    depth: int | None = None
    """Messages per flow and channel."""
    age: float | None = None
    """Seconds."""
    dead: int | None = None
    """Dead letters in total."""


class Problem(msgspec.Struct, frozen=True):
    """One line, where to read what to do, and what the page offers to do."""

    text: str
    runbook: str
    """A section of `RUNBOOKS`."""
    flow: str = ""
    channel: str = ""
    """The flow that it concerns, if it is one."""
    actions: Sequence[Action] = ()
    """Buttons: probe the service now, pause the flow, resume it."""

    def __str__(self) -> str:
        return self.text


def name_of(flow: Flow) -> str:
    """Return a flow's name on screen: `inbound` or `replies <channel>`."""
    return f"{flow.flow} {flow.channel}" if flow.channel else flow.flow


def problems(snapshot: Snapshot, limits: Limits = Limits()) -> list[Problem]:  # noqa: B008
    """Return one line per problem, most severe first."""
    found = [Problem(alarm, "broker-alarm") for alarm in snapshot.alarms]
    if snapshot.missing:
        found.append(
            Problem(
                f"missing queues: {len(snapshot.missing)}, such as {snapshot.missing[0]}; start"
                " the roles, or run: rasa-bridge topology declare",
                "missing-queues",
            )
        )
    if snapshot.unbound:
        found.append(
            Problem(
                f"queues without their binding: {len(snapshot.unbound)}, such as"
                f" {snapshot.unbound[0]}; run: rasa-bridge topology declare",
                "missing-queues",
            )
        )
    found += [_silence(alike) for alike in _alike(snapshot.silent)]
    if snapshot.webhooks == 0:
        fix = AGAIN if snapshot.is_recovering else "start a webhook"
        text = f"no webhook is connected, so messages of senders are not accepted; {fix}"
        found.append(Problem(text, "no-webhook"))
    again = AGAIN if snapshot.is_recovering else ""
    found += [_no_consumer(flows, again) for flows in _unconsumed(snapshot.flows)]
    for flow in snapshot.flows:
        found += _of_flow(flow, limits, snapshot.at)
    dead = sum(snapshot.dead.values())
    if limits.dead is not None and dead > limits.dead:
        text = f"dead letters: {dead:,}, limit {limits.dead:,}; run: rasa-bridge dead list"
        found.append(Problem(text, "dead-letters"))
    return found


def notices(snapshot: Snapshot, deaths: int = 0) -> list[Problem]:
    """Return one line per thing that is not as it should be, and no problem yet.

    `deaths` is the number of processes that died recently.
    """
    found = []
    if deaths:
        text = f"{count(deaths, 'process')} died in the last 15 minutes"
        found.append(Problem(f"{text}; see: rasa-bridge status --events", "process-died"))
    dead = sum(snapshot.dead.values())
    if dead:
        text = f"{count(dead, 'dead letter')}; look at: rasa-bridge dead list --by cause"
        found.append(Problem(text, "dead-letters"))
    return found


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 process`, `2 processes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def clock(at: float) -> str:
    """Return the local time of day of a Unix time, such as `13:44:12`."""
    return time.strftime("%H:%M:%S", time.localtime(at))


def _alike(silent: Sequence[Silent]) -> list[list[Silent]]:
    """Group what is the same for several channels: one process consumes many of them."""
    groups: dict[tuple[str, int, int, tuple[str, ...]], list[Silent]] = {}
    for one in silent:
        key = one.flow, one.number, one.reporting, tuple(one.names)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _silence(alike: Sequence[Silent]) -> Problem:
    silent = alike[0]
    is_webhook = silent.flow == WEBHOOKS
    processes = count(silent.number + silent.reporting, "process" if is_webhook else "consumer")
    unknown = "its senders may get no answer" if is_webhook else "its messages are unknown"
    who = f" ({', '.join(silent.names)})" if silent.names else ""
    before = "" if silent.names else " or before"
    does = "does" if silent.number == 1 else "do"
    since = min(one.since for one in alike)
    return Problem(
        f"{together(silent.flow, [one.channel for one in alike])}:"
        f" {silent.number} of {processes} {does} not report since"
        f" {clock(since)}{before}{who}, so {unknown}; restart a process that hangs",
        "does-not-report",
        silent.flow,
        silent.channel if len(alike) == 1 else "",
    )


def together(flow: str, channels: Sequence[str]) -> str:
    """Return the name of a flow of one channel or of several."""
    if len(channels) == 1:
        return f"{flow} {channels[0]}".rstrip()
    named = ", ".join(channels[:NAMED])
    more = f" and {len(channels) - NAMED} more" if len(channels) > NAMED else ""
    return f"{flow} of {len(channels)} channels ({named}{more})"


def _down(now: float, flow: Flow) -> Problem:
    """Return what is wrong, since when, how much waits, and what happens next."""
    name, pause = name_of(flow), flow.pause
    if pause is None:  # a process of an earlier version
        text = f"{name}: paused because its service is down"
    else:
        why, semicolon, fix = (pause.why or "its service is down").partition("; ")
        since = f"{name}: {why} since {clock(pause.since)}"
        text = ", ".join([since, *_waiting(flow), _next_probe(now, flow, pause.next_at)])
        text += semicolon + fix
    actions: Sequence[Action] = () if flow.stopped else ("try", "pause")
    return Problem(text, "service-down", flow.flow, flow.channel, actions)


def _next_probe(now: float, flow: Flow, next_at: float) -> str:
    if flow.stopped:
        return "no probe while it is paused"
    if next_at:
        return f"next probe in {spelled(max(1.0, next_at - now))}"
    return "probes with the next reply"


def _stopped(flow: Flow) -> list[Problem]:
    """Return that an operator has paused a flow, and which processes do not follow."""
    stopped, name = flow.stopped, name_of(flow)
    if stopped is None:
        return []
    by = f" by {stopped.by}" if stopped.by else " by an operator"
    since = f" since {clock(stopped.since)}" if stopped.since else ""
    reason = f" ({stopped.reason})" if stopped.reason else ""
    go_on = f"to go on: rasa-bridge resume {name}"
    text = ", ".join([f"{name}: paused{by}{since}{reason}", *_waiting(flow)]) + f"; {go_on}"
    found = [Problem(text, "paused", flow.flow, flow.channel, ("resume",))]
    if stopped.ignored_by:
        who = ", ".join(stopped.ignored_by)
        text = f"{name}: paused, but {who} goes on; see its log, and its broker permissions"
        found.append(Problem(text, "paused", flow.flow, flow.channel))
    return found


def _waiting(flow: Flow) -> list[str]:
    """Return how much waits, and for how long."""
    noun = ("reply", "replies") if flow.flow == REPLIES else ("message", "messages")
    if flow.is_depth_unknown:
        return [f"an unknown number of {noun[1]} waits"]
    least = "at least " if flow.depth_at_least else ""
    waits = f"{noun[0]} waits" if flow.depth == 1 else f"{noun[1]} wait"
    parts = [f"{least}{flow.depth:,} {waits}"]
    if flow.depth and flow.oldest_age:
        parts.append(f"oldest {'at least ' * flow.at_least}{age(flow.oldest_age)}")
    return parts


def _unconsumed(flows: Sequence[Flow]) -> list[list[Flow]]:
    """Return the flows with partitions without a consumer; channels without any are one group."""
    found = [flow for flow in flows if flow.partitions and not flow.consumers]
    idle = [f for f in found if f.flow == REPLIES and not any(p.consumers for p in f.partitions)]
    return [[flow] for flow in found if flow not in idle] + ([idle] if idle else [])


def _no_consumer(flows: Sequence[Flow], fix: str) -> Problem:
    """`fix` is what to do; "": start a process."""
    flow = _sum(flows)
    partitions = [partition for one in flows for partition in one.partitions]
    unconsumed = sum(not partition.consumers for partition in partitions)
    total = len(partitions)
    where = "" if unconsumed == total else f" on {unconsumed} of {total} partitions"
    start = "start a worker" if flow.flow == INBOUND else "start a deliver process"
    waiting = _waiting(flow) if flow.depth else []
    return Problem(
        f"{together(flow.flow, [one.channel for one in flows])}:"
        f" {', '.join([f'no consumer{where}', *waiting])}; {fix or start}",
        "no-consumer",
        flow.flow,
        flow.channel if len(flows) == 1 else "",
    )


def _sum(flows: Sequence[Flow]) -> Flow:
    """Return what waits in several flows, as if they were one."""
    oldest = max(flows, key=lambda flow: flow.oldest_age or 0.0)
    is_one_unknown = any(flow.oldest_age is None for flow in flows)
    return msgspec.structs.replace(
        oldest,
        ready=sum(flow.ready for flow in flows),
        unacked=sum(flow.unacked or 0 for flow in flows),
        depth_at_least=any(flow.depth_at_least for flow in flows),
        at_least=oldest.at_least or is_one_unknown,
    )


def _of_flow(flow: Flow, limits: Limits, now: float) -> list[Problem]:
    name = name_of(flow)
    found = _stopped(flow)

    def add(text: str, runbook: str) -> None:
        found.append(Problem(f"{name}: {text}", runbook, flow.flow, flow.channel))

    if flow.paused:
        found.append(_down(now, flow))
    if flow.dead >= MANY_DEAD and flow.dead >= flow.done / 2:
        noun = "replies" if flow.flow == REPLIES else "messages"
        became = f"{flow.dead:,} of {flow.done:,} {noun} in {WINDOW:.0f} s became dead letters"
        add(f"{became}; look at: rasa-bridge dead list --by cause", "dead-letters")
    if limits.depth is not None and flow.depth > limits.depth:
        least = "at least " if flow.depth_at_least else ""
        add(f"{least}{flow.depth:,} messages, limit {limits.depth:,}", "messages-wait")
    oldest = flow.oldest_age or 0.0
    is_said = flow.paused or flow.stopped or not flow.consumers
    if limits.age is not None and oldest > limits.age and not is_said:
        why = _why(flow)
        add(f"oldest message is {age(oldest)} old, limit {age(limits.age)}{why}", "messages-wait")
    return found


def _why(flow: Flow) -> str:
    """Return what the messages of a flow wait for, as far as it is known."""
    lane = "recipient" if flow.flow == REPLIES else "conversation"
    if flow.paced:
        reasons = [f"{count(flow.paced, lane)} wait{'s' * (flow.paced == 1)} for a rate limit"]
    elif 0 < flow.slots <= flow.busy:
        reasons = [f"all {count(flow.slots, 'slot')} are busy"]
    else:
        reasons = []
    if flow.retrying:
        waits = "waits" if flow.retrying == 1 else "wait"
        reasons.append(f"{count(flow.retrying, lane)} {waits} for another attempt after a failure")
    return f": {' and '.join(reasons)}" if reasons else ""
