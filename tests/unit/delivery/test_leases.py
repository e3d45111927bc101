"""Leases: what a pacer may lease, and what a process may do with it."""

from __future__ import annotations

import math

import pytest

from bridge.connectors.limits import RateLimit
from bridge.delivery.leases import LEASE, RENEW_AT, SOON, Lease, Leases, leasable
from bridge.delivery.pacer import used

LIMIT = RateLimit(400, 40)
MOST = RateLimit(95, 10)
"""What may be leased of it."""


def test_a_quarter_of_what_is_used_may_be_leased() -> None:
    assert leasable(LIMIT, used(LIMIT)) == MOST
    assert leasable(RateLimit(400, 3), used(RateLimit(400, 3))).rate == 0, "a small burst is whole"


def test_leases_together_are_never_more_than_that() -> None:
    leases = Leases(MOST)
    for number, process in enumerate("abcabcbca"):
        leases.grant(process, 30 + 10 * number, 0.1 * number)
        assert leases.rate <= MOST.rate + 1e-9
        assert leases.burst <= MOST.burst
    assert leases.rate == pytest.approx(MOST.rate)


def test_a_smaller_lease_frees_the_rest_only_when_the_larger_one_is_over() -> None:
    leases = Leases(MOST)
    leases.grant("a", 80, 0)
    smaller = leases.grant("a", 20, 0.5)
    assert smaller
    assert (smaller.rate, leases.rate) == (20, 80), "the process may not know of it yet"
    assert not leases.end(LEASE - 0.01)
    assert leases.end(LEASE)
    assert leases.rate == 20
    assert leases.end(0.5 + LEASE)
    assert leases.rate == 0


def test_a_new_pacer_leases_nothing_for_as_long_as_a_former_lease_may_last() -> None:
    leases = Leases(MOST)
    leases.suppose_all(0)
    leases.end(LEASE - 0.01)
    assert leases.grant("a", 20, LEASE - 0.01) is None
    assert leases.rate == MOST.rate
    leases.end(LEASE)
    assert leases.grant("a", 20, LEASE)


def calls(lease: Lease, since: float, until: float) -> int:
    """Make all the calls that a lease allows."""
    made, time = 0, since
    while (time := max(time, lease.next(time))) < until:
        lease.spend(time)
        made += 1
    return made


def test_a_lease_begins_empty_and_fills_at_its_rate() -> None:
    lease = Lease()
    assert lease.next(0) == math.inf
    lease.granted(100, 5, sent=0, time=0.1)
    assert lease.next(0.1) == pytest.approx(0.11)
    assert calls(lease, 0.1, 0.5) == pytest.approx(39, abs=1)
    lease.granted(100, 5, sent=0.5, time=0.5)
    assert [lease.next(1.2), calls(lease, 1.2, 1.2001)] == [1.2, 5], "at most its burst is stored"


def test_a_lease_counts_from_when_it_was_asked_for() -> None:
    lease = Lease()
    lease.granted(100, 5, sent=0, time=0.9)
    assert lease.renew_at == RENEW_AT
    assert lease.next(LEASE) == math.inf
    lease.granted(100, 5, sent=1, time=1 + LEASE)
    assert lease.next(1 + LEASE) == math.inf, "an answer that took as long is worth nothing"


def test_a_renewed_lease_goes_on_with_what_it_has() -> None:
    lease = Lease()
    lease.granted(10, 5, sent=0, time=0)
    assert calls(lease, 0, 0.5) == 4
    lease.granted(10, 5, sent=0.5, time=0.5)
    assert calls(lease, 0.5, 0.95) == 5, "one that was filled, and four that follow"


def test_an_answer_without_a_lease_ends_none() -> None:
    lease = Lease()
    lease.granted(10, 5, sent=0, time=0)
    lease.granted(0, 0, sent=0.5, time=0.6)
    assert lease.next(0.7) == 0.7
    lease.drop()
    assert lease.next(0.7) == math.inf


def test_an_answer_that_was_not_asked_for_a_lease_leaves_its_renewal_due() -> None:
    lease = Lease()
    lease.granted(10, 5, sent=0, time=0)
    lease.granted(0, 0, sent=0.1, time=0.2)
    assert lease.renew_at == RENEW_AT
    lease.granted(0, 0, sent=RENEW_AT, time=RENEW_AT + 0.1)
    assert lease.renew_at == math.inf, "the renewal was refused"


def test_a_lease_knows_the_calls_that_it_will_have_soon() -> None:
    lease = Lease()
    assert lease.soon(0) == 0
    lease.granted(1000, 100, sent=0, time=0)
    assert lease.soon(0) == pytest.approx(1000 * SOON, abs=1)
    assert lease.soon(LEASE) == 0
