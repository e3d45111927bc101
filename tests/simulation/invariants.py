"""The tests of one set of schedules, one for each invariant; `test_schedules_*` run them."""

from __future__ import annotations

from tests.simulation.ledger import (
    DRAINED,
    ENDS,
    FAIR,
    FIRST,
    GATHERED,
    INNOCENT_,
    ONCE,
    ONE_TURN,
    ORDER,
    PACED,
    RETURNED,
    SAVED,
    SETTLED,
    UNBROKEN,
)
from tests.simulation.runner import Failure

ALL = (
    ONE_TURN,
    ORDER,
    SETTLED,
    RETURNED,
    INNOCENT_,
    ENDS,
    ONCE,
    PACED,
    SAVED,
    UNBROKEN,
    FIRST,
    FAIR,
    DRAINED,
    GATHERED,
)


def _none_of(failed: list[Failure], invariant: str) -> None:
    found = [failure for failure in failed if failure.invariant == invariant]
    assert not found, "\n".join(map(str, found))


def test_two_turns_of_a_conversation_never_run_at_once(failed: list[Failure]) -> None:
    _none_of(failed, ONE_TURN)


def test_a_conversation_stays_in_order(failed: list[Failure]) -> None:
    _none_of(failed, ORDER)


def test_each_acknowledged_message_is_settled_exactly_once_or_dead_lettered(
    failed: list[Failure],
) -> None:
    _none_of(failed, SETTLED)


def test_nothing_acts_after_its_message_was_returned(failed: list[Failure]) -> None:
    _none_of(failed, RETURNED)


def test_an_innocent_message_is_never_dead_lettered(failed: list[Failure]) -> None:
    _none_of(failed, INNOCENT_)


def test_everything_ends(failed: list[Failure]) -> None:
    _none_of(failed, ENDS)


def test_a_completed_message_does_not_run_again(failed: list[Failure]) -> None:
    _none_of(failed, ONCE)


def test_each_message_is_in_at_most_one_saved_turn(failed: list[Failure]) -> None:
    _none_of(failed, SAVED)


def test_a_turn_that_is_saved_is_not_interrupted(failed: list[Failure]) -> None:
    _none_of(failed, UNBROKEN)


def test_urgent_messages_go_first(failed: list[Failure]) -> None:
    _none_of(failed, FIRST)


def test_a_failing_conversation_delays_no_other(failed: list[Failure]) -> None:
    _none_of(failed, FAIR)


def test_a_drain_lets_what_runs_end(failed: list[Failure]) -> None:
    _none_of(failed, DRAINED)


def test_a_turn_has_all_messages_that_wait(failed: list[Failure]) -> None:
    _none_of(failed, GATHERED)


def test_a_rate_limit_holds_across_all_processes(failed: list[Failure]) -> None:
    _none_of(failed, PACED)


def test_the_simulator_itself_does_not_fail(failed: list[Failure]) -> None:
    assert not [failure for failure in failed if failure.invariant not in ALL]
