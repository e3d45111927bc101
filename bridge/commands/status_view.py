"""How a snapshot looks in a terminal 80 columns wide."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.commands.terminal import shown
from bridge.monitor.problem import Problem, name_of
from bridge.monitor.problems import RUNBOOKS
from bridge.monitor.snapshot import Flow, Incoming, Latency, Partition, Process, Snapshot
from bridge.runtime.durations import age
from bridge.telemetry.reports import WINDOW

FLOW_COLUMNS = (
    *("queue", "depth", "unacked", "oldest", "in/s", "out/s"),
    *("wait p95", "work p95", "consumers"),
)


def as_view(
    snapshot: Snapshot,
    problems: Sequence[Problem],
    notices: Sequence[Problem] = (),
    sources: Sequence[str] = (),
) -> RenderableType:
    """Return the problems, tables of the queues, channels and processes, and the data's sources.

    `sources` are those beside the snapshot's.
    """
    parts: list[RenderableType] = [shown(f"! {p}", "bold red") for p in problems]
    parts += [shown(f"· {notice}", "yellow") for notice in notices]
    if parts:
        runbooks = dict.fromkeys(f"#{one.runbook}" for one in (*problems, *notices))
        parts.append(Text(f"  what to do: {RUNBOOKS} {', '.join(runbooks)}", style="dim"))
        if any(problem.parts for problem in problems):
            parts.append(Text("  each channel: rasa-bridge status --verbose", style="dim"))
        parts.append(Text())
    parts += [_flows(snapshot), *_outcomes(snapshot), Text()]
    if snapshot.incoming:
        parts += [_incoming(snapshot.incoming), Text()]
    if snapshot.processes:
        parts += [_processes(snapshot.processes), Text()]
    return Group(*parts, Text(_about(snapshot, sources), style="dim"))


def _flows(snapshot: Snapshot) -> Table:
    table = _table(*FLOW_COLUMNS)
    for flow in snapshot.flows:
        is_held_back = flow.paused or flow.stopped
        style = "red" if not flow.consumers else "yellow" if is_held_back else ""
        table.add_row(
            Text(name_of(flow), style=style),
            depth(flow),
            unacked(flow),
            oldest(flow),
            rate(flow.published),
            rate(flow.settled),
            p95(flow.queueing),
            p95(flow.work),
            f"{sum(p.consumers > 0 for p in flow.partitions)}/{len(flow.partitions)}",
        )
    for name, number in snapshot.dead.items():
        least = name in snapshot.being_read
        shown = "?" if least and not number else f"≥ {number}" if least else str(number)
        table.add_row(Text(f"dead {name}", style="red" if number else ""), shown)
    return table


def _incoming(incoming: Sequence[Incoming]) -> Table:
    table = _table("channel", "accepted/s", "rejected/s", "rejected with")
    for one in incoming:
        statuses = ", ".join(f"{status}: {rate(r)}/s" for status, r in one.statuses.items())
        style = "yellow" if one.rejected else ""
        name = shown(one.channel or "unknown URLs", style)
        table.add_row(name, rate(one.accepted), rate(one.rejected), shown(statuses or "-"))
    return table


def _outcomes(snapshot: Snapshot) -> list[Text]:
    """Return a line per channel whose service reports what became of messages."""
    lines = []
    for flow in snapshot.flows:
        told = flow.outcomes
        if told is not None:
            codes = ", ".join(f"{code}: {rate(r)}/s" for code, r in told.codes.items())
            lines.append(
                f"{flow.channel}: {told.share:.1%} of {rate(told.delivered + told.failed)}/s"
                f" delivered, p95 {p95(told.time_to_delivery)}"
                f"{codes and f'; failed with {codes}'}"
            )
    return [Text(line) for line in lines]


def _processes(processes: Sequence[Process]) -> Table:
    table = _table("process", "partitions", "lanes", "busy", "uptime")
    has_models = any(process.model for process in processes)
    if has_models:
        table.add_column("model", overflow="fold")
    for process in processes:
        table.add_row(
            shown(process.name, "red" if process.silent_for else ""),
            *(_numbers(process) if process.consumes else "---"),
            f"silent {age(process.silent_for)}" if process.silent_for else age(process.uptime),
            *([shown(process.model or "-")] if has_models else []),
        )
    return table


def _numbers(process: Process) -> tuple[str, str, str]:
    """Return the partitions, lanes and busy slots of a process, as far as they are known."""
    if process.silent_for:
        return str(process.partitions or "?"), "?", f"?/{process.slots}"
    return str(process.partitions), _lanes(process), f"{process.busy}/{process.slots}"


def _lanes(process: Process) -> str:
    """Return the number of lanes, and how many of them only wait for a quiet conversation."""
    return f"{process.lanes} ({process.quiet} quiet)" if process.quiet else str(process.lanes)


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _about(snapshot: Snapshot, others: Sequence[str]) -> str:
    names = {
        "amqp": "AMQP",
        "reports": f"the reports of {len(snapshot.processes)} processes",
        "management": "the management API",
    }
    acknowledged = f"acknowledged {rate(snapshot.acknowledged)}/s"
    if snapshot.acknowledgement:
        acknowledged += f" (p95 {seconds(snapshot.acknowledgement.p95)})"
    return (
        f"{acknowledged}, rejected {rate(snapshot.rejected)}/s; rates: last {WINDOW:.0f} s\n"
        f"{snapshot.namespace} at {snapshot.broker}\n"
        f"sources: {', '.join([*(names[source] for source in snapshot.sources), *others])}"
    )


def depth(flow: Flow) -> str:
    if flow.is_depth_unknown:
        return "?"
    return f"≥ {flow.depth}" if flow.depth_at_least else str(flow.depth)


def unacked(flow: Flow) -> str:
    if flow.unacked is None or (flow.depth_at_least and not flow.unacked):
        return "?"
    return f"≥ {flow.unacked}" if flow.depth_at_least else str(flow.unacked)


def oldest(what: Flow | Partition) -> str:
    if what.oldest_age is None:
        return "?"
    return ("≥ " if what.at_least else "") + seconds(what.oldest_age) if what.oldest_age else "-"


def rate(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def p95(latency: Latency | None) -> str:
    return seconds(latency.p95) if latency else "-"


def seconds(value: float) -> str:
    """Return a duration in its natural unit: `8 ms`, `1.4 s`, then minutes and hours."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else age(value)
