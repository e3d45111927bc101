"""What a metric notes is counted when it is read, whichever threads note and read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest
from prometheus_client import CollectorRegistry

from bridge.telemetry.durations import Durations
from bridge.telemetry.noting import MOST_NOTED, NotingCounter

THREADS, EACH = 3, 20 * MOST_NOTED + 7


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(act: Callable[[], object], read: Callable[[], float]) -> None:
    """Act in several threads, `EACH` times, while two others read; what they read only grows."""
    ended, shrunk = Event(), Event()

    def reading() -> None:
        latest = 0.0
        while not ended.is_set():
            before, latest = latest, read()
            if latest < before:
                shrunk.set()

    def acting() -> None:
        for _ in range(EACH):
            act()

    readers = [Thread(target=reading) for _ in range(2)]
    actors = [Thread(target=acting) for _ in range(THREADS)]
    for thread in (*readers, *actors):
        thread.start()
    for thread in actors:
        thread.join()
    ended.set()
    for thread in readers:
        thread.join()
    assert not shrunk.is_set()


def value(registry: CollectorRegistry, name: str) -> float:
    found = registry.get_sample_value(name, {"channel": "x"})
    assert found is not None
    return found


@pytest.mark.usefixtures("switching")
def test_no_increment_is_lost_between_threads() -> None:
    registry = CollectorRegistry()
    counter = NotingCounter("n", "N.", ("channel",), registry=registry).labels("x")
    in_threads(counter.inc, lambda: value(registry, "n_total"))
    assert value(registry, "n_total") == THREADS * EACH


@pytest.mark.usefixtures("switching")
def test_no_duration_is_lost_between_threads() -> None:
    registry = CollectorRegistry()
    took = Durations("took", "T.", ("channel",), buckets=(1.0, 2.0), registry=registry).labels("x")
    in_threads(lambda: took.observe(0.5), lambda: value(registry, "took_count"))
    assert value(registry, "took_count") == THREADS * EACH
    assert value(registry, "took_sum") == THREADS * EACH / 2
    assert sum(took.sketch.values()) == THREADS * EACH


def test_an_increment_is_there_at_once_and_a_negative_one_is_refused() -> None:
    registry = CollectorRegistry()
    counter = NotingCounter("n", "N.", ("channel",), registry=registry).labels("x")
    counter.inc(2.5)
    counter.inc(0)
    with pytest.raises(ValueError, match="non-negative"):
        counter.inc(-1)
    assert value(registry, "n_total") == 2.5
    counter.reset()
    assert value(registry, "n_total") == 0
