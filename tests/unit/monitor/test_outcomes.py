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


def test_failures_are_counted_by_code() -> None:
    def failed(code: str, number: float, channel: str = "slack") -> Sample:
        return Sample("receipt_failures_total", {"channel": channel, "code": code}, number)

    webhook = a_worker("w", samples=[failed("470", 20), failed("131047", 30)])
    other = a_worker("x", samples=[failed("131047", 10), failed("470", 9, "whatsapp")])
    snapshot = see(webhook, other, a_worker("d", samples=[reported("dead_letter", 60)]))
    outcomes = snapshot.flows[1].outcomes
    assert outcomes is not None
    assert list(outcomes.codes.items()) == [("131047", 4.0), ("470", 2.0)]
    line = "slack: 0.0% of 6.0/s delivered, p95 -; failed with 131047: 4.0/s, 470: 2.0/s"
    assert line in shown(snapshot)
