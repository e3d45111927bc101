"""Turns in which Rasa logged an error and went on, such as that of a custom action. No I/O.

Rasa ends such a turn as if nothing were wrong, and its user gets no answer, or another one.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.monitor.problem import Problem, clock, count, name_of
from bridge.monitor.snapshot import Flow
from bridge.telemetry.reports import WINDOW

ERRED_SHARE = 0.1
"""Share of the turns with an error that Rasa logged from which on they are a problem."""
RECENT = 15 * 60.0
"""Seconds for which such an error is worth a notice."""
ACTION = ("Failed to run custom action", "Encountered an exception while running action")
"""How errors of actions begin."""


def turns_with_errors(name: str, flow: Flow) -> Problem | None:
    """Return that Rasa logged errors in many turns, which it ends as if nothing were wrong."""
    if not flow.turn_errors or flow.turn_errors < ERRED_SHARE * flow.turns:
        return None
    share = f"{flow.turn_errors:,} of {count(max(flow.turns, flow.turn_errors), 'turn')}"
    latest = f" (latest: {flow.turn_error})" if flow.turn_error else ""
    what = f"Rasa logged errors in {share} in {WINDOW:.0f} s{latest}"
    text = f"{name}: {what}; {turn_error_fix(flow)}"
    return Problem(text, "turn-errors", flow.flow, flow.channel)


def turn_error_fix(flow: Flow) -> str:
    """Return what to do about the latest error that Rasa logged in a turn."""
    is_action = flow.turn_error.startswith(ACTION)
    return "is the action server up?" if is_action else "see the logs of the workers"


def notices_of_turn_errors(flows: Sequence[Flow], now: float) -> list[Problem]:
    """Return the flows in which Rasa logged an error in a turn lately, if that is no problem."""
    found = []
    for flow in flows:
        is_recent = flow.turn_error_at and flow.turn_error_at >= now - RECENT
        if is_recent and turns_with_errors(name_of(flow), flow) is None:
            at = f"Rasa logged an error in a turn at {clock(flow.turn_error_at)}"
            text = f"{name_of(flow)}: {at} ({flow.turn_error}); {turn_error_fix(flow)}"
            found.append(Problem(text, "turn-errors", flow.flow, flow.channel))
    return found
