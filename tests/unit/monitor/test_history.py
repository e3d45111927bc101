from __future__ import annotations

import json

from bridge.monitor.feed import BEHIND, Feed
from bridge.monitor.history import KEPT, MOST, History, Point, point_of
from bridge.telemetry.reports import HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_worker, see


def at(time: float) -> Point:
    return Point(time, None, {})


def test_points_of_the_last_minutes_are_kept() -> None:
    history = History()
    for second in range(0, int(KEPT) + 100, 10):
        history.add(at(float(second)))
    assert [point.at for point in history.points][:2] == [90.0, 100.0]


def test_points_are_bounded_however_often_somebody_looks() -> None:
    history = History()
    for number in range(MOST + 50):
        history.add(at(number / 100))
    assert len(history.points) == MOST


def test_times_rise_also_when_the_clock_is_set_back() -> None:
    history = History()
    for time in (10.0, 12.0, 14.0, 11.0, 13.0):
        history.add(at(time))
    assert [point.at for point in history.points] == [10.0, 11.0, 13.0]


def test_a_point_holds_what_the_charts_show() -> None:
    snapshot = see(a_worker("a", {FIRST: HeldMessages(3, 39.0)}))
    point = point_of(snapshot)
    assert point.at == snapshot.at
    assert list(point.flows) == ["inbound", "replies slack"]
    assert (point.flows["inbound"].depth, point.flows["inbound"].oldest) == (3, 60.0)


def events(feed: Feed) -> list[tuple[str, dict[str, object]] | None]:
    """What a page that opens now gets at once."""
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


def test_a_page_gets_the_history_and_then_what_is_known_now() -> None:
    feed = Feed()
    assert names(feed) == ["history", "lost"]
    feed.snapshot(see())
    assert names(feed) == ["history", "snapshot"]
    feed.lost("connection refused")
    assert names(feed) == ["history", "snapshot", "lost"]
    feed.snapshot(see())
    history, snapshot = filter(None, events(feed))
    assert len(history[1]["points"]) == 1  # type: ignore[arg-type]
    assert snapshot[1].keys() == {"snapshot", "problems", "point"}


def test_a_page_that_does_not_read_is_cut_off_and_holds_nobody_up() -> None:
    feed = Feed()
    with feed.opened() as slow:
        for _ in range(BEHIND):
            feed.lost("gone")
        assert slow.get_nowait() is None
    assert not feed._pages


def test_closing_ends_every_stream() -> None:
    feed = Feed()
    with feed.opened() as one, feed.opened() as other:
        feed.close()
        assert (one.get_nowait(), other.get_nowait()) == (None, None)
