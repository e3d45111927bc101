"""Metrics whose labels were used before are found without further checks."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter

from bridge.telemetry.noting import NotingCounter


def counter() -> NotingCounter:
    return NotingCounter(
        "requests", "Requests.", ("channel", "status"), registry=CollectorRegistry()
    )


def test_equal_labels_are_one_metric_however_they_are_written() -> None:
    requests = counter()
    first = requests.labels("rest", 200)
    assert requests.labels("rest", "200") is first
    assert requests.labels(status="200", channel="rest") is first
    assert requests.labels("rest", "503") is not first


@pytest.mark.parametrize("labels", [(), ("rest",), ("rest", "200", "x")])
def test_a_wrong_number_of_labels_is_an_error(labels: tuple[str, ...]) -> None:
    requests = counter()
    requests.labels("rest", "200")
    with pytest.raises(ValueError, match="label"):
        requests.labels(*labels)


def test_an_exposition_does_not_differ_from_that_of_a_plain_counter() -> None:
    registry, plain = CollectorRegistry(), CollectorRegistry()
    NotingCounter("n", "N.", ("a",), registry=registry).labels("x").inc()
    Counter("n", "N.", ("a",), registry=plain).labels("x").inc()
    assert registry.get_sample_value("n_total", {"a": "x"}) == 1
    assert [m.type for m in registry.collect()] == [m.type for m in plain.collect()]
