"""The memory of completed ids: bounded, and separate for each conversation."""

from __future__ import annotations

from hypothesis import given, strategies as st

from bridge.messages.recent_ids import RecentIds

keys = st.tuples(st.sampled_from(["ada", "bob"]), st.sampled_from("0123456789"))


def test_the_oldest_ids_are_forgotten_and_the_newest_kept() -> None:
    recent = RecentIds(size=3)
    for n in range(5):
        recent.add(("ada", str(n)))
    assert [n for n in range(5) if ("ada", str(n)) in recent] == [2, 3, 4]


def test_the_same_id_in_another_conversation_is_a_different_id() -> None:
    recent = RecentIds()
    recent.add(("ada", "1"))
    assert ("ada", "1") in recent
    assert ("bob", "1") not in recent


@given(st.lists(keys), st.integers(1, 5))
def test_the_memory_never_exceeds_its_size_and_always_holds_the_last_id(
    added: list[tuple[str, str]], size: int
) -> None:
    recent = RecentIds(size)
    for key in added:
        recent.add(key)
        assert key in recent
        assert sum(known in recent for known in set(added)) <= size
