"""What proves that a service is down."""

from __future__ import annotations

import pytest

from bridge.delivery import evidence as module
from bridge.delivery.evidence import (
    FAILURES,
    LONG_SILENCE,
    OPENING,
    RECIPIENTS,
    SILENCE,
    Evidence,
)


def fail(evidence: Evidence, now: float, failures: int = FAILURES, recipients: int = 5) -> None:
    for n in range(failures):
        evidence.failed(n % recipients, now)


def test_many_failures_of_several_recipients_for_a_while_are_proof() -> None:
    evidence = Evidence()
    fail(evidence, 0, FAILURES - 1)
    assert not evidence.is_complete(OPENING)
    evidence.failed(0, OPENING)
    assert evidence.is_complete(OPENING)


def test_failures_at_one_moment_are_no_proof() -> None:
    evidence = Evidence()
    fail(evidence, 0, FAILURES * 100, 100)
    assert not evidence.is_complete(OPENING - 0.1)


def test_failures_of_too_few_recipients_are_no_proof() -> None:
    evidence = Evidence()
    fail(evidence, 0, FAILURES * 10, RECIPIENTS - 1)
    assert not evidence.is_complete(1000)


def test_a_call_that_was_in_flight_at_the_first_failure_must_end_first() -> None:
    evidence = Evidence()
    evidence.in_flight.add("slow")
    fail(evidence, 0)
    evidence.in_flight.add("later")
    assert not evidence.is_complete(OPENING)
    evidence.ended("slow")
    assert evidence.is_complete(OPENING)


def test_an_accepted_call_ends_the_series() -> None:
    evidence = Evidence()
    fail(evidence, 0)
    evidence.accepted("eve", OPENING)
    assert not evidence.is_complete(OPENING)
    assert not evidence.failed("bob", OPENING + SILENCE / 2)
    assert evidence.failed("bob", OPENING + SILENCE)


def test_recipients_that_failed_while_others_were_served_do_not_count() -> None:
    """For example at night, when only their retries are in flight."""
    evidence = Evidence()
    fail(evidence, 0)
    evidence.accepted("eve", 1)
    assert evidence.has_failed(0)
    assert evidence.is_broken(0)
    assert not evidence.failed(0, LONG_SILENCE)
    assert evidence.failed("bob", LONG_SILENCE)


def test_after_a_long_silence_every_recipient_counts() -> None:
    evidence = Evidence()
    fail(evidence, 0)
    evidence.accepted("eve", 1)
    assert evidence.failed(0, 1 + LONG_SILENCE)


def test_a_recipient_counts_again_after_it_was_served() -> None:
    evidence = Evidence()
    fail(evidence, 0)
    evidence.accepted(0, 1)
    evidence.accepted(1, 1)
    assert not evidence.has_failed(1)
    assert evidence.failed(1, 1 + SILENCE)
    assert not evidence.failed(2, 1 + SILENCE)


def test_the_number_of_remembered_broken_recipients_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    evidence = Evidence()
    fail(evidence, 0, recipients=3)
    evidence.accepted("eve", 1)
    assert [evidence.is_broken(n) for n in range(3)] == [False, True, True]
