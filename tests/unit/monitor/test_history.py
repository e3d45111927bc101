from __future__ import annotations

import json

from bridge.monitor.feed import MAX_BACKLOG, Feed
from bridge.monitor.history import HISTORY_SECONDS, MAX_POINTS, History, Point, point_of
from bridge.telemetry.reports import HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_worker, see


def at(time: float) -> Point:
    return Point(time, None, {})


def test_points_of_the_last_15_minutes_are_kept() -> None:
    history = History()
    for second in range(0, int(HISTORY_SECONDS) + 100, 10):
        history.add(at(float(second)))
    assert [point.at for point in history.points][:2] == [90.0, 100.0]


def test_the_number_of_points_is_bounded() -> None:
    history = History()
    for number in range(MAX_POINTS + 50):
        history.add(at(number / 100))
    assert len(history.points) == MAX_POINTS


def test_times_increase_even_if_the_clock_goes_backwards() -> None:
    history = History()
    for time in (10.0, 12.0, 14.0, 11.0, 13.0):
        history.add(at(time))
    assert [point.at for point in history.points] == [10.0, 11.0, 13.0]


def test_a_point_holds_the_values_in_the_charts() -> None:
    snapshot = see(a_worker("a", {FIRST: HeldMessages(3, 39.0)}))
    point = point_of(snapshot)
    assert point.at == snapshot.at
    assert list(point.flows) == ["inbound", "replies slack"]
    assert (point.flows["inbound"].depth, point.flows["inbound"].oldest) == (3, 60.0)


def events(feed: Feed) -> list[tuple[str, dict[str, object]] | None]:
    """Return the events that a newly opened page gets immediately."""
    found: list[tuple[str, dict[str, object]] | None] = []
    with feed.opened() as queue:
        while not queue.empty():
            event = queue.get_nowait()
            if event is None:
                found.append(None)
                continue
            name, data = event.decode().strip().split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def names(feed: Feed) -> list[str | None]:
    return [event and event[0] for event in events(feed)]


def test_a_page_gets_the_history_and_then_the_current_state() -> None:
    feed = Feed()
    assert names(feed) == ["history", "lost"]
    feed.snapshot(see())
    assert names(feed) == ["history", "snapshot"]
    feed.lost("connection refused")
    assert names(feed) == ["history", "snapshot", "lost"]
    feed.snapshot(see())
    history, snapshot = filter(None, events(feed))
    assert len(history[1]["points"]) == 1  # type: ignore[arg-type]
    assert snapshot[1].keys() == {"snapshot", "problems", "notices", "point", "events"}


def test_a_page_that_does_not_read_is_disconnected() -> None:
    feed = Feed()
    with feed.opened() as slow:
        for _ in range(MAX_BACKLOG):
            feed.lost("gone")
        assert slow.get_nowait() is None
    assert not feed._pages


def test_closing_ends_every_stream() -> None:
    feed = Feed()
    with feed.opened() as one, feed.opened() as other:
        feed.close()
        assert (one.get_nowait(), other.get_nowait()) == (None, None)
