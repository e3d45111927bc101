"""What is wrong with the flows: a service down, a pause, old messages, no consumer. No I/O.

What is wrong with many channels is one line, made like that of one channel, of their sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from bridge.messages import INBOUND, REPLIES
from bridge.monitor.problem import (
    NAMED,
    Action,
    Limits,
    Problem,
    clock,
    count,
    listed,
    name_of,
    together,
)
from bridge.monitor.snapshot import Flow, OperatorPause, Pause
from bridge.monitor.turn_errors import turns_with_errors
from bridge.monitor.waits import failing, mostly_fail, too_old, waits
from bridge.runtime.durations import age, spelled
from bridge.telemetry.reports import WINDOW

MANY_DEAD = 5
"""Dead letters in 15 seconds that are a problem if they are at least half of what is settled."""
CAUSES = 3
"""Errors that a line about many services names, each with the number of services."""

Name = str
"""How the flow is called, or several channels."""
Kind = Callable[[Name, Flow], "Problem | None"]
"""Returns what is wrong with a flow, or with the sum of several."""


def flow_problems(flows: Sequence[Flow], limits: Limits, now: float) -> list[Problem]:
    """Return what is wrong with each flow, most severe first; many channels are one line."""
    kinds: list[Kind] = [
        _stopped,
        _not_followed,
        partial(_down, now),
        _mostly_dead,
        mostly_fail,
        turns_with_errors,
        partial(_too_deep, limits.depth),
        partial(too_old, limits.age),
    ]
    return [problem for kind in kinds for problem in _folded(kind, flows)]


def flow_notices(flows: Sequence[Flow], limits: Limits) -> list[Problem]:
    """Return what holds up messages, and is no problem yet; many channels are one line."""
    return _folded(partial(waits, limits.age), flows)


def unconsumed(flows: Sequence[Flow], fix: str) -> list[Problem]:
    """Return which partitions have no consumer. `fix` is what to do; "": start a process."""
    found = [flow for flow in flows if flow.partitions and not flow.consumers]
    idle = [f for f in found if f.flow == REPLIES and not any(p.consumers for p in f.partitions)]
    others = [flow for flow in found if flow not in idle]
    groups = _grouped(others) + ([idle] if idle else [])
    return [_no_consumer(group, fix) for group in groups]


def _folded(kind: Kind, flows: Iterable[Flow]) -> list[Problem]:
    """Return the problems of a kind, those of many channels as one, which holds each of them."""
    found = [(flow, problem) for flow in flows if (problem := kind(name_of(flow), flow))]
    problems = {name_of(flow): problem for flow, problem in found}
    lines = []
    for group in _grouped([flow for flow, _ in found]):
        each = [problems[name_of(flow)] for flow in group]
        whole = kind(_name(group), _sum(group)) if group[1:] else None
        lines += [msgspec.structs.replace(whole, actions=(), parts=each)] if whole else each
    return lines


def _grouped(flows: Sequence[Flow]) -> list[list[Flow]]:
    """Return the flows one by one, or more channels than a line names as one group."""
    channels = [flow for flow in flows if flow.flow == REPLIES]
    if len(channels) <= NAMED:
        return [[flow] for flow in flows]
    return [[flow] for flow in flows if flow.flow != REPLIES] + [channels]


def _name(flows: Sequence[Flow]) -> Name:
    return together(flows[0].flow, [flow.channel for flow in flows])


def _stopped(name: Name, flow: Flow) -> Problem | None:
    """Return that an operator has paused a flow."""
    stopped = flow.stopped
    if stopped is None:
        return None
    by = f" by {stopped.by}" if stopped.by else " by an operator"
    since = f" since {clock(stopped.since)}" if stopped.since else ""
    reason = f" ({stopped.reason})" if stopped.reason else ""
    go_on = f"to go on: rasa-bridge resume {name_of(flow)}"
    text = ", ".join([f"{name}: paused{by}{since}{reason}", *_waiting(flow)]) + f"; {go_on}"
    return Problem(text, "paused", flow.flow, flow.channel, ("resume",))


def _not_followed(name: Name, flow: Flow) -> Problem | None:
    """Return which processes do not follow a pause."""
    if flow.stopped is None or not flow.stopped.ignored_by:
        return None
    who = listed(flow.stopped.ignored_by)
    goes = "goes" if len(flow.stopped.ignored_by) == 1 else "go"
    text = f"{name}: paused, but {who} {goes} on; see its log, and its broker permissions"
    return Problem(text, "paused", flow.flow, flow.channel)


def _down(now: float, name: Name, flow: Flow) -> Problem | None:
    """Return what is wrong, since when, how much waits, and what happens next."""
    if not flow.paused:
        return None
    pause = flow.pause
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


def _mostly_dead(name: Name, flow: Flow) -> Problem | None:
    if flow.dead < MANY_DEAD or flow.dead < flow.done / 2:
        return None
    noun = "replies" if flow.flow == REPLIES else "messages"
    became = f"{flow.dead:,} of {flow.done:,} {noun} in {WINDOW:.0f} s became dead letters"
    text = f"{name}: {became}{_dead_of(flow)}; look at: rasa-bridge dead list --by cause"
    return Problem(text, "dead-letters", flow.flow, flow.channel)


def _dead_of(flow: Flow) -> str:
    """Return the commonest cause of dead letters, if processes report it."""
    if not flow.dead_of:
        return ""
    return f" ({'mostly ' * (flow.dead_of_that < flow.dead)}{flow.dead_of})"


def _too_deep(limit: int | None, name: Name, flow: Flow) -> Problem | None:
    if limit is None or flow.depth <= limit:
        return None
    least = "at least " if flow.depth_at_least else ""
    text = f"{name}: {least}{flow.depth:,} messages, limit {limit:,}"
    return Problem(text, "messages-wait", flow.flow, flow.channel)


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


def _no_consumer(flows: Sequence[Flow], fix: str) -> Problem:
    flow = _sum(flows)
    partitions = [partition for one in flows for partition in one.partitions]
    without = sum(not partition.consumers for partition in partitions)
    total = len(partitions)
    where = "" if without == total else f" on {without} of {total} partitions"
    start = "start a worker" if flow.flow == INBOUND else "start a deliver process"
    if flow.slots:  # its connection or its event loop is in trouble
        start = "its process runs, so see its log"
    waiting = _waiting(flow) if flow.depth else []
    waiting += [failing(flow)] if flow.retrying else []
    text = f"{_name(flows)}: {', '.join([f'no consumer{where}', *waiting])}; {fix or start}"
    return Problem(text, "no-consumer", flow.flow, flow.channel)


def _sum(flows: Sequence[Flow]) -> Flow:
    """Return what waits in several flows, and why, as if they were one without a channel."""
    if len(flows) == 1:
        return flows[0]
    oldest = max(flows, key=lambda flow: flow.oldest_age or 0.0)
    is_one_unknown = any(flow.oldest_age is None for flow in flows)
    return msgspec.structs.replace(
        oldest,
        channel="",
        ready=sum(flow.ready for flow in flows),
        unacked=sum(flow.unacked or 0 for flow in flows),
        depth_at_least=any(flow.depth_at_least for flow in flows),
        at_least=oldest.at_least or is_one_unknown,
        dead=sum(flow.dead for flow in flows),
        done=sum(flow.done for flow in flows),
        **_commonest(flows),
        slots=sum(flow.slots for flow in flows),
        busy=sum(flow.busy for flow in flows),
        paced=sum(flow.paced for flow in flows),
        retrying=sum(flow.retrying for flow in flows),
        pause=_first_pause([flow.pause for flow in flows if flow.pause]),
        stopped=_first_stop([flow.stopped for flow in flows if flow.stopped]),
    )


def _commonest(flows: Sequence[Flow]) -> dict[str, Any]:
    """Return the commonest cause of the dead letters of several flows, as far as it is known."""
    causes: Counter[str] = Counter()
    for flow in flows:
        causes[flow.dead_of] += flow.dead_of_that
    cause, number = causes.most_common(1)[0]
    return {"dead_of": cause, "dead_of_that": number}


def _first_pause(pauses: Sequence[Pause]) -> Pause | None:
    """Return since when services are down, until when, and their most frequent errors."""
    if not pauses:
        return None
    whys = Counter(pause.why for pause in pauses).most_common()
    why = whys[0][0]
    if whys[1:]:
        why = ", ".join(f"{one.partition('; ')[0]} ({times})" for one, times in whys[:CAUSES])
        why += f" and {count(len(whys) - CAUSES, 'other error')}" if whys[CAUSES:] else ""
    probes = [pause.next_at for pause in pauses if pause.next_at]
    return Pause(why, min(pause.since for pause in pauses), min(probes, default=0.0))


def _first_stop(stops: Sequence[OperatorPause]) -> OperatorPause | None:
    """Return who paused flows, and why, if that is the same for all of them."""
    if not stops:
        return None
    by, reasons = {stop.by for stop in stops}, {stop.reason for stop in stops}
    since = [stop.since for stop in stops if stop.since]
    return OperatorPause(
        by.pop() if len(by) == 1 else "several operators",
        min(since, default=0.0),
        reasons.pop() if len(reasons) == 1 else "",
        list(dict.fromkeys(name for stop in stops for name in stop.ignored_by)),
    )
