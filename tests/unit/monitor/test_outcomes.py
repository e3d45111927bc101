"""The monitor and `status` show what services report of replies."""

from __future__ import annotations

from bridge.telemetry.reports import Sample
from tests.unit.commands.test_status_view import shown
from tests.unit.monitor.test_compose import a_worker, see


def reported(outcome: str, number: float, channel: str = "slack") -> Sample:
    return Sample("reply_outcomes_total", {"channel": channel, "outcome": outcome}, number)


def test_the_share_of_delivered_replies_is_that_of_all_processes() -> None:
    one = a_worker("a", samples=[reported("delivered", 90), reported("unreported", 50)])
    other = a_worker("b", samples=[reported("dead_letter", 8), reported("template", 2)])
    snapshot = see(one, other)
    outcomes = snapshot.flows[1].outcomes
    assert outcomes is not None
    assert (outcomes.delivered, outcomes.failed, outcomes.share) == (9.0, 1.0, 0.9)
    assert "slack: 90.0% of 10/s delivered, p95 -" in shown(snapshot)


def test_nothing_is_shown_of_a_channel_without_reports() -> None:
    snapshot = see(a_worker("a", samples=[reported("delivered", 5, channel="whatsapp")]))
    assert all(flow.outcomes is None for flow in snapshot.flows)
    assert not any("delivered" in line for line in shown(snapshot))
