"""Small batches are read only where they were not written again."""

from __future__ import annotations

from bridge.broker.stream_reading import About, Place
from bridge.monitor.written_again import SLACK, WrittenAgain
from bridge.telemetry.trace.batch import FIRST, SMALL, WHOLE, together
from bridge.telemetry.trace.recorder import LATEST

RECENT = Place(100, "29")


def learnt(*batches: tuple[int, float, bytes, str]) -> WrittenAgain:
    """Return what is learnt from batches: offset, time, body and mark of each."""
    again = WrittenAgain()
    for offset, at, body, mark in batches:
        again.look(body, offset, lambda at=at, mark=mark: About(at, mark))  # type: ignore[misc]
    return again


def lacking(again: WrittenAgain, begin: float = 0.0) -> list[tuple[float, int]]:
    return [(span.start, span.before.offset) for span in again.lacking(begin, RECENT)]


def test_what_was_written_again_is_not_read() -> None:
    again = learnt(
        (0, 1000.0, b"a", FIRST),
        (9, 1300.0, together([b"a", b"b"]), WHOLE),
        (10, 1301.0, b"c", FIRST),
        (12, 1601.0, b"c", WHOLE),
        (13, 1602.0, b"large" * SMALL, WHOLE),
    )
    assert lacking(again) == []
    assert again.since == 1000.0


def test_the_minutes_after_the_first_batch_of_a_killed_process_are_read() -> None:
    again = learnt(
        (0, 1000.0, b"a", FIRST),
        (3, 1100.0, b"b", FIRST),
        (9, 1300.0, b"a", WHOLE),
        (40, 1500.0, b"c", FIRST),
        (60, 1800.0, b"c", WHOLE),
        (70, 3000.0, b"d", FIRST),
    )
    assert lacking(again) == [(3000.0 - SLACK, 100), (1100.0 - SLACK, 40)]
    assert lacking(again, begin=1100.0 + LATEST + SLACK + 1) == [(3000.0 - SLACK, 100)]


def test_the_minutes_of_processes_that_do_not_mark_their_first_batch_are_read() -> None:
    again = learnt((9, 1300.0, together([b"a", b"b"]), WHOLE), (50, 2300.0, b"d", FIRST))
    later = (60, 2600.0, b"d", WHOLE)
    again.look(later[2], later[0], lambda: About(later[1], WHOLE))
    assert lacking(again) == [(1300.0 - LATEST - SLACK, 50)]


def test_what_is_read_anyway_is_not_read_again() -> None:
    again = learnt((100, 2000.0, b"e", "33"), (101, 2100.0, b"f", FIRST))
    assert lacking(again) == []
