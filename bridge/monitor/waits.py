"""What the messages of a flow wait for, as far as reports tell it. No I/O."""

from __future__ import annotations

from bridge.messages import INBOUND, REPLIES
from bridge.monitor.problem import Problem, count
from bridge.monitor.snapshot import Flow
from bridge.runtime.durations import age
from bridge.telemetry.reports import WINDOW

NOTICED = 10.0
"""Age of the oldest message, in seconds, from which on what it waits for is worth a notice."""
SLOW = 5.0
"""Seconds from which on a turn or a call is slow."""
MANY_FAIL = 3
"""Conversations or recipients that fail at once, and are a problem if less than that is settled."""


def mostly_fail(name: str, flow: Flow) -> Problem | None:
    """Return that most of what a flow attempts fails, unless its service is known to be down."""
    oldest = flow.oldest_age or 0.0
    if flow.retrying < max(MANY_FAIL, flow.done) or oldest < NOTICED or _is_said(flow):
        return None
    settled = f"{flow.done:,} settled in {WINDOW:.0f} s, oldest {age(oldest)}"
    logs = "workers" if flow.flow == INBOUND else "deliver processes"
    fix = f"what fails for --retry-for becomes a dead letter; see the logs of the {logs}"
    text = f"{name}: {failing(flow)}, {settled}; {fix}"
    return Problem(text, "messages-wait", flow.flow, flow.channel)


def too_old(limit: float | None, name: str, flow: Flow) -> Problem | None:
    """Return that messages wait for long, unless another problem says why."""
    oldest = flow.oldest_age or 0.0
    if limit is None or oldest <= limit or _is_said(flow) or mostly_fail(name, flow):
        return None
    reasons = _reasons(flow)
    why = f": {' and '.join(reasons)}" if reasons else ""
    text = f"{name}: oldest message is {age(oldest)} old, limit {age(limit)}{why}"
    return Problem(text, "messages-wait", flow.flow, flow.channel)


def waits(limit: float | None, name: str, flow: Flow) -> Problem | None:
    """Return what messages wait for before that is a problem, if anything holds them up.

    A rate limit does what it is there for, so it is worth no notice.
    """
    oldest = flow.oldest_age or 0.0
    if oldest < NOTICED or flow.paced or _is_said(flow):
        return None
    if not _hangs(flow) and flow.work and oldest < 2 * flow.work.p95:  # nothing queues behind it
        return None
    reasons = _reasons(flow)
    if not reasons or mostly_fail(name, flow) or too_old(limit, name, flow):
        return None
    text = f"{name}: oldest message is {age(oldest)} old: {' and '.join(reasons)}"
    return Problem(text, "messages-wait", flow.flow, flow.channel)


def failing(flow: Flow) -> str:
    """Return how many conversations or recipients wait for another attempt, and why."""
    waits = "waits" if flow.retrying == 1 else "wait"
    cause = f" ({flow.failing})" if flow.failing else ""
    return f"{count(flow.retrying, _lane(flow))} {waits} for another attempt after a failure{cause}"


def _is_said(flow: Flow) -> bool:
    """Whether another problem says why messages wait."""
    return flow.paused or flow.stopped is not None or not flow.consumers


def _reasons(flow: Flow) -> list[str]:
    """Return what the messages of a flow wait for, as far as it is known."""
    reasons = []
    if flow.paced:
        waits = "waits" if flow.paced == 1 else "wait"
        reasons.append(f"{count(flow.paced, _lane(flow))} {waits} for a rate limit")
    else:
        if 0 < flow.slots <= flow.busy:
            reasons.append(f"all {count(flow.slots, 'slot')} are busy")
        reasons += _slow(flow)
    if flow.retrying:
        reasons.append(failing(flow))
    return reasons


def _slow(flow: Flow) -> list[str]:
    """Return that turns or calls take long, or that hardly any succeeds."""
    noun = "call" if flow.flow == REPLIES else "turn"
    if _hangs(flow) and not flow.retrying:
        some = f"only {flow.done:,}" if flow.done else "none"
        return [f"{some} of {count(flow.done + flow.busy, noun)} succeeded in {WINDOW:.0f} s"]
    if flow.work and flow.work.p95 >= SLOW:
        return [f"{noun}s take {flow.work.p95:.0f} s (p95)"]
    return []


def _hangs(flow: Flow) -> bool:
    """Whether more turns or calls run than ended in the last `WINDOW` seconds."""
    return flow.done < flow.busy


def _lane(flow: Flow) -> str:
    return "recipient" if flow.flow == REPLIES else "conversation"
