from __future__ import annotations

import pytest

from bridge.monitor.samples import Samples, percentiles
from bridge.telemetry.reports import Report, Sample

INF = float("inf")


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


def test_percentiles_are_interpolated_within_their_bucket() -> None:
    found = percentiles({0.1: 50.0, 0.2: 90.0, 0.4: 100.0, INF: 100.0})
    assert found is not None
    assert (found.p50, found.p95, found.p99) == pytest.approx((0.1, 0.3, 0.38))


def test_a_percentile_above_the_last_bound_is_that_bound() -> None:
    found = percentiles({0.1: 0.0, 60.0: 1.0, INF: 100.0})
    assert found is not None
    assert found.p95 == 60.0


def test_an_empty_histogram_has_no_percentiles() -> None:
    assert percentiles({0.1: 0.0, INF: 0.0}) is None
    assert Samples([a_report()]).latency("turn") is None


def test_buckets_missing_from_a_report_count_as_unchanged() -> None:
    def bucket(bound: str) -> Sample:
        return Sample("turn_seconds_bucket", {"channel": "a", "le": bound}, 10.0)

    found = Samples([a_report(*map(bucket, ("2.5", "5.0", "+Inf")))]).latency("turn", channel="a")
    assert found is not None
    assert found.p50 == 1.75  # between 1 and 2.5, not between 0 and 2.5


def test_buckets_with_unknown_bounds_are_ignored() -> None:
    buckets = [Sample("turn_seconds_bucket", {"le": bound}, 10.0) for bound in ("0.3", "+Inf")]
    found = Samples([a_report(*buckets)]).latency("turn")
    assert found is not None
    assert found.p50 == 60.0
