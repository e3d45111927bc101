"""A ledger that cannot fail is worthless, so these tests feed it each kind of fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.support.ledger import Entry, Ledger, inversions


def balanced(conversations: int = 3, messages: int = 5) -> Ledger:
    entries = [Entry(f"c{c}", n) for n in range(messages) for c in range(conversations)]
    return Ledger(list(entries), list(entries), list(entries), list(entries))


def test_a_ledger_where_everything_arrived_in_order_balances() -> None:
    balanced().check()


@pytest.mark.parametrize("column", ["run", "delivered"])
def test_a_lost_message_is_found(column: str) -> None:
    ledger = balanced()
    getattr(ledger, column).remove(Entry("c1", 3))
    with pytest.raises(AssertionError, match=r"lost: 1, first \[Entry\(conversation='c1'"):
        ledger.check()


@pytest.mark.parametrize(("column", "name"), [("run", "turns"), ("delivered", "replies")])
def test_a_repeated_message_is_found_unless_the_test_allows_it(column: str, name: str) -> None:
    ledger = balanced()
    getattr(ledger, column).append(Entry("c1", 4))
    with pytest.raises(AssertionError, match=f"{name} repeated"):
        ledger.check()
    explained: dict[str, Any] = {f"repeated_{name}": 1}
    ledger.check(**explained)


@pytest.mark.parametrize(("column", "name"), [("run", "turns"), ("delivered", "replies")])
def test_a_reordered_message_is_found(column: str, name: str) -> None:
    ledger = balanced(conversations=1)
    entries = getattr(ledger, column)
    entries[2], entries[3] = entries[3], entries[2]
    with pytest.raises(AssertionError, match=f"{name} out of order"):
        ledger.check()


def test_a_repeated_reply_without_a_mark_is_found() -> None:
    ledger = balanced()
    ledger.delivered.append(Entry("c1", 4))
    ledger.unmarked.append(Entry("c1", 4))
    with pytest.raises(AssertionError, match="without a mark: 1"):
        ledger.check(repeated_replies=1)


def test_replies_that_the_broker_confirmed_late_may_come_twice_with_a_mark_only() -> None:
    ledger = balanced()
    ledger.unconfirmed = 1
    ledger.delivered.append(Entry("c1", 4))
    ledger.check()
    ledger.delivered.append(Entry("c1", 4))
    with pytest.raises(AssertionError, match="replies repeated, more than 1: 1"):
        ledger.check()


def test_a_message_that_was_never_sent_is_found() -> None:
    ledger = balanced()
    ledger.run.append(Entry("c9", 0))
    ledger.delivered.append(Entry("c9", 0))
    with pytest.raises(AssertionError, match="never sent"):
        ledger.check()


def test_an_expected_dead_letter_balances_and_an_unexpected_or_missing_one_is_found() -> None:
    ledger = balanced()
    dead = Entry("c0", 0)
    ledger.run.remove(dead)
    ledger.delivered.remove(dead)
    ledger.dead.append(dead)
    ledger.check(dead=[dead])
    with pytest.raises(AssertionError, match="dead-lettered by mistake: 1"):
        ledger.check()
    with pytest.raises(AssertionError, match="not dead-lettered: 1"):
        ledger.check(dead=[dead, Entry("c0", 1)])


def test_a_refused_message_may_run_or_not() -> None:
    ledger = balanced()
    ledger.sent += [Entry("c0", 5), Entry("c0", 6)]
    ledger.run.append(Entry("c0", 6))
    ledger.delivered.append(Entry("c0", 6))
    ledger.check()


def test_a_repetition_after_later_messages_is_not_an_inversion() -> None:
    assert inversions([Entry("a", 1), Entry("a", 2), Entry("a", 1), Entry("a", 3)]) == []


@given(st.permutations(range(6)))
def test_any_order_except_the_right_one_is_an_inversion(order: list[int]) -> None:
    found = inversions([Entry("a", n) for n in order])
    assert bool(found) == (list(order) != sorted(order))
