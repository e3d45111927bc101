"""Half of the thousand schedules of `make test`: the even seeds, with rasa on Python 3.10."""

from __future__ import annotations

import pytest

from tests.simulation.invariants import (  # noqa: F401 - pytest collects them here
    test_a_completed_message_does_not_run_again,
    test_a_conversation_stays_in_order,
    test_a_drain_lets_what_runs_end,
    test_a_failing_conversation_delays_no_other,
    test_a_rate_limit_holds_across_all_processes,
    test_a_turn_has_all_messages_that_wait,
    test_a_turn_that_is_saved_is_not_interrupted,
    test_an_innocent_message_is_never_dead_lettered,
    test_each_acknowledged_message_is_settled_exactly_once_or_dead_lettered,
    test_each_message_is_in_at_most_one_saved_turn,
    test_everything_ends,
    test_nothing_acts_after_its_message_was_returned,
    test_the_simulator_itself_does_not_fail,
    test_two_turns_of_a_conversation_never_run_at_once,
    test_urgent_messages_go_first,
)
from tests.simulation.runner import Failure, failures


@pytest.fixture(scope="module")
def failed() -> list[Failure]:
    return failures(range(0, 1000, 2))
