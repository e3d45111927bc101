from __future__ import annotations

import math
from collections import Counter

import msgspec
import pytest
from hypothesis import given, strategies as st

from bridge.monitor.samples import Samples, percentiles
from bridge.monitor.snapshot import Incoming
from bridge.telemetry.reports import Report, Sample, Sketch
from bridge.telemetry.sketches import ERROR, LONGEST, SHORTEST, bucket_of, middle


def a_report(*samples: Sample, window: float = 10.0, name: str = "worker a:1:ff") -> Report:
    return Report(
        name=name,
        started_at=0.0,
        at=100.0,
        every=2.0,
        window=window,
        consuming=[],
        samples=list(samples),
    )


def test_rates_are_summed_over_processes_and_over_other_labels() -> None:
    samples = Samples(
        [
            a_report(
                Sample("messages_total", {"flow": "inbound", "channel": "a"}, 20.0),
                Sample("messages_total", {"flow": "inbound", "channel": "b"}, 10.0),
                Sample("messages_total", {"flow": "replies", "channel": "a"}, 99.0),
            ),
            a_report(Sample("messages_total", {"flow": "inbound", "channel": "a"}, 5.0), window=5),
        ]
    )
    assert samples.rate("messages_total", flow="inbound") == 4.0
    assert samples.rate("messages_total", flow="inbound", channel="a") == 3.0
    assert samples.rate("retries_total", flow="inbound") == 0.0


def test_without_reports_a_rate_is_unknown() -> None:
    assert Samples([]).rate("messages_total") is None


def test_a_report_that_covers_no_time_contributes_nothing() -> None:
    samples = Samples([a_report(Sample("retries_total", {}, 7.0), window=0.0)])
    assert samples.rate("retries_total") == 0.0


def test_requests_are_counted_per_channel_and_rejections_by_status() -> None:
    samples = Samples(
        [
            a_report(
                Sample("acknowledgement_seconds_count", {"channel": "slack"}, 50.0),
                Sample("requests_rejected_total", {"channel": "slack", "status": "403"}, 10.0),
                Sample("requests_rejected_total", {"channel": "", "status": "404"}, 5.0),
            ),
            a_report(
                Sample("requests_rejected_total", {"channel": "slack", "status": "503"}, 20.0)
            ),
        ]
    )
    assert samples.incoming() == [
        Incoming("", 0.0, 0.5, {"404": 0.5}),
        Incoming("slack", 5.0, 3.0, {"403": 1.0, "503": 2.0}),
    ]


def a_sketch(*durations: float, window: float = 10.0) -> Report:
    counts = dict(Counter(map(bucket_of, durations)))
    report = a_report(window=window)
    return msgspec.structs.replace(report, sketches=[Sketch("turn", {"channel": "a"}, counts)])


def test_turns_of_five_seconds_are_shown_as_five_seconds() -> None:
    found = Samples([a_sketch(*[5.01] * 100)]).latency("turn")
    assert found is not None
    assert (found.p50, found.p95, found.p99) == pytest.approx((5.01,) * 3, rel=ERROR)


@given(st.lists(st.floats(SHORTEST, 10_000.0), min_size=1, max_size=300))
def test_a_percentile_is_at_most_the_stated_error_wrong(durations: list[float]) -> None:
    found = percentiles(Counter(map(bucket_of, durations)))
    assert found is not None
    ranks = [math.ceil(q * len(durations) - 1e-9) - 1 for q in (0.5, 0.95, 0.99)]
    expected = [sorted(durations)[max(0, rank)] for rank in ranks]
    assert [found.p50, found.p95, found.p99] == pytest.approx(expected, rel=ERROR * 1.001)


def test_the_durations_of_several_processes_are_added_up_as_rates() -> None:
    """A process that reports a longer window does not count more."""
    found = Samples([a_sketch(1.0, window=1.0), a_sketch(*[9.0] * 4, window=10.0)]).latency("turn")
    assert found is not None
    assert found.p50 == pytest.approx(1.0, rel=ERROR)
    assert found.p95 == pytest.approx(9.0, rel=ERROR)


def test_extreme_durations_count_as_the_shortest_and_the_longest() -> None:
    for duration, shown in ((-1.0, SHORTEST), (0.0, SHORTEST), (1e9, LONGEST)):
        assert middle(bucket_of(duration)) == pytest.approx(shown, rel=ERROR)


def test_without_durations_there_are_no_percentiles() -> None:
    assert percentiles({}) is None
    assert Samples([a_report()]).latency("turn") is None
    assert Samples([a_sketch(1.0)]).latency("delivery") is None
    assert Samples([a_sketch(1.0)]).latency("turn", channel="b") is None
