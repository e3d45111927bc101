"""A histogram of durations has the buckets of prometheus_client's own."""

from __future__ import annotations

from hypothesis import given, strategies as st
from prometheus_client import CollectorRegistry, Histogram

from bridge.telemetry.durations import Durations

BOUNDS = (0.1, 0.25, 1.0, 2.5)


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 5))))
def test_each_duration_is_counted_in_the_bucket_of_a_plain_histogram(amounts: list[float]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    ours, plain = (
        kind("took", "Test.", ("channel",), buckets=BOUNDS, registry=registry).labels("x")
        for kind, registry in zip((Durations, Histogram), registries, strict=True)
    )
    for amount in amounts:
        ours.observe(amount)
        plain.observe(amount)
    for bound in (*map(str, BOUNDS), "+Inf"):
        labels = {"channel": "x", "le": bound}
        found, wanted = (each.get_sample_value("took_bucket", labels) for each in registries)
        assert found == wanted
    found, wanted = (each.get_sample_value("took_sum", {"channel": "x"}) for each in registries)
    assert found == wanted
