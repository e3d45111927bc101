"""The problems in a snapshot: the lines for which `status` exits with 1."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.broker.presence import WEBHOOKS
from bridge.monitor.flow_problems import flow_notices, flow_problems, unconsumed
from bridge.monitor.problem import NAMED, Limits, Problem, clock, count, listed, together
from bridge.monitor.snapshot import Silent, Snapshot
from bridge.monitor.turn_errors import notices_of_turn_errors
from bridge.runtime.durations import age

RUNBOOKS = "docs/how-to/incidents.md"
"""The page with a section for each `Problem.runbook`. The monitor serves it, too."""

AGAIN = "RabbitMQ was away, and processes connect again"


def problems(snapshot: Snapshot, limits: Limits = Limits()) -> list[Problem]:  # noqa: B008
    """Return one line per problem, most severe first."""
    since = f"; since {clock(snapshot.alarms_since)}" if snapshot.alarms_since else ""
    found = [Problem(f"{alarm}{since}", "broker-alarm") for alarm in snapshot.alarms]
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
    if snapshot.closed_since is not None:
        found.append(
            Problem(
                f"the number of partitions is being changed since {clock(snapshot.closed_since)}:"
                " webhooks answer 503, and senders send again; do what the command"
                " rasa-bridge topology resize says, or end it with Ctrl+C",
                "resize",
            )
        )
    found += [_silence(alike) for alike in _together(_alike(snapshot.silent))]
    if snapshot.webhooks == 0:
        fix = AGAIN if snapshot.is_recovering else "start a webhook"
        text = f"no webhook is connected, so messages of senders are not accepted; {fix}"
        found.append(Problem(text, "no-webhook"))
    again = AGAIN if snapshot.is_recovering else ""
    found += unconsumed(snapshot.flows, again)
    found += flow_problems(snapshot.flows, limits, snapshot.at)
    dead = sum(snapshot.dead.values())
    if limits.dead is not None and dead > limits.dead:
        text = f"dead letters: {dead:,}, limit {limits.dead:,}; run: rasa-bridge dead list"
        found.append(Problem(text, "dead-letters"))
    return found


def notices(
    snapshot: Snapshot,
    deaths: int = 0,
    limits: Limits = Limits(),  # noqa: B008
) -> list[Problem]:
    """Return one line per thing that is not as it should be, and no problem yet.

    `deaths` is the number of processes that died recently, `limits` those of `problems`.
    """
    found = flow_notices(snapshot.flows, limits)
    if deaths:
        text = f"{count(deaths, 'process')} died in the last 15 minutes"
        found.append(Problem(f"{text}; see: rasa-bridge status --events", "process-died"))
    found += notices_of_turn_errors(snapshot.flows, snapshot.at)
    off = [
        f"{process.name} {age(abs(process.clock_ahead))}"
        f" {'ahead' if process.clock_ahead > 0 else 'behind'}"
        for process in snapshot.processes
        if process.clock_ahead
    ]
    if off:
        text = f"clocks differ from this machine's: {listed(off)}"
        found.append(
            Problem(f"{text}; waits, ages and traces are wrong, so sync them", "clock-skew")
        )
    dead = sum(snapshot.dead.values())
    if dead:
        text = f"{count(dead, 'dead letter')}; look at: rasa-bridge dead list --by cause"
        found.append(Problem(text, "dead-letters"))
    return found


def _alike(silent: Sequence[Silent]) -> list[list[Silent]]:
    """Group what is the same for several channels: one process consumes many of them."""
    groups: dict[tuple[str, int, int, tuple[str, ...]], list[Silent]] = {}
    for one in silent:
        key = one.flow, one.number, one.reporting, tuple(one.names)
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _together(groups: list[list[Silent]]) -> list[list[Silent]]:
    """Return the groups, or one instead of more groups of channels than a line names."""
    channels = [group for group in groups if group[0].channel]
    if len(channels) <= NAMED:
        return groups
    alone = [group for group in groups if not group[0].channel]
    all_of_them = [one for group in channels for one in group]
    whole = msgspec.structs.replace(
        all_of_them[0],
        number=sum(one.number for one in all_of_them),
        reporting=sum(one.reporting for one in all_of_them),
        names=list(dict.fromkeys(name for one in all_of_them for name in one.names)),
    )
    return [*alone, [whole, *all_of_them[1:]]]


def _silence(alike: Sequence[Silent]) -> Problem:
    silent = alike[0]
    is_webhook = silent.flow == WEBHOOKS
    processes = count(silent.number + silent.reporting, "process" if is_webhook else "consumer")
    its = "its" if silent.number == 1 else "their"
    unknown = f"{its} senders may get no answer" if is_webhook else f"{its} messages are unknown"
    who = f" ({listed(silent.names)})" if silent.names else ""
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
