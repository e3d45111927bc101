"""How long a reply waits for a client that is away."""

from __future__ import annotations

import pytest

from bridge.connectors.socketio.away import LATEST, SOONEST, Absences


def attempts(absences: Absences, clock: list[float], client: str = "ada") -> list[float]:
    """Return the delays until the absences give up."""
    delays = []
    while (delay := absences.next_attempt(client)) is not None:
        delays.append(delay)
        clock[0] += delay
    return delays


def test_attempts_become_rarer_and_end_after_the_time_to_keep() -> None:
    clock = [100.0]
    delays = attempts(Absences(60.0, lambda: clock[0]), clock)
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (SOONEST, LATEST)
    assert 60 <= sum(delays) < 60 + LATEST
    assert len(delays) < 40


def test_a_client_that_was_away_too_long_is_not_waited_for_again_until_it_returns() -> None:
    clock = [0.0]
    absences = Absences(10.0, lambda: clock[0])
    assert attempts(absences, clock)
    assert absences.next_attempt("ada") is None
    absences.is_back("ada")
    assert absences.next_attempt("ada") == SOONEST


@pytest.mark.parametrize("keep", [0.0, 0.1])
def test_short_times_are_kept(keep: float) -> None:
    clock = [0.0]
    assert len(attempts(Absences(keep, lambda: clock[0]), clock)) == (1 if keep else 0)
