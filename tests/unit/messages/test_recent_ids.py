"""The memory of what was completed: bounded, and apart for each conversation."""

from __future__ import annotations

from hypothesis import given, strategies as st

from bridge.messages.recent_ids import RecentIds

keys = st.tuples(st.sampled_from(["ada", "bob"]), st.sampled_from("0123456789"))


def test_the_oldest_are_forgotten_and_the_newest_kept() -> None:
    recent = RecentIds(size=3)
    for n in range(5):
        recent.add(("ada", str(n)))
    assert [n for n in range(5) if ("ada", str(n)) in recent] == [2, 3, 4]


def test_the_same_id_of_another_conversation_is_another_one() -> None:
    recent = RecentIds()
    recent.add(("ada", "1"))
    assert ("ada", "1") in recent
    assert ("bob", "1") not in recent


@given(st.lists(keys), st.integers(1, 5))
def test_there_are_never_more_than_its_size_and_the_last_is_always_there(
    added: list[tuple[str, str]], size: int
) -> None:
    recent = RecentIds(size)
    for key in added:
        recent.add(key)
        assert key in recent
        assert sum(known in recent for known in set(added)) <= size
