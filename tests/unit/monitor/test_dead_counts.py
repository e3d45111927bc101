from __future__ import annotations

from bridge.broker.topology import Depth
from bridge.monitor.dead_counts import DeadCounts

QUEUE = "bridge.dead.inbound"


def test_letters_that_a_reader_holds_are_not_gone() -> None:
    counts = DeadCounts()
    seen = [
        counts.count(QUEUE, Depth(ready, consumers), is_read=False)
        for ready, consumers in ((5000, 0), (3000, 2), (0, 1), (1, 0), (5000, 0))
    ]
    assert seen == [5000] * 5
    assert not counts.being_read


def test_letters_that_the_own_pass_holds_are_not_gone() -> None:
    counts = DeadCounts()
    counts.count(QUEUE, Depth(5000, 0), is_read=False)
    assert [counts.count(QUEUE, Depth(0, 0), is_read=True) for _ in range(3)] == [5000] * 3
    assert counts.being_read == {QUEUE}


def test_fewer_letters_are_believed_at_the_second_look() -> None:
    counts = DeadCounts()
    looks = (7, 3, 3, 2, 9)
    seen = [counts.count(QUEUE, Depth(ready, 0), is_read=False) for ready in looks]
    assert seen == [7, 7, 3, 3, 9]


def test_what_a_reader_holds_at_the_first_look_is_unknown() -> None:
    counts = DeadCounts()
    assert counts.count(QUEUE, Depth(4, 1), is_read=False) == 4
    assert counts.being_read == {QUEUE}
    assert counts.count(QUEUE, Depth(2, 0), is_read=False) == 2
