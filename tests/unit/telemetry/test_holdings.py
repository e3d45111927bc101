from __future__ import annotations

from bridge.telemetry.holdings import Holdings
from bridge.telemetry.reports import HeldMessages
from tests.support.fakes import a_delivery, an_inbound


def test_the_oldest_message_of_a_queue_is_the_first_to_arrive() -> None:
    held = Holdings(clock=lambda: 100.0)
    first, second = (a_delivery(an_inbound(id)) for id in ("e1", "e2"))
    held.add(first, 90.0)
    held.add(second, 80.0)  # a clock that is behind: it came later all the same
    assert held.queues() == {"bridge.inbound.07": HeldMessages(2, 90.0)}
    held.remove(first)
    assert held.queues() == {"bridge.inbound.07": HeldMessages(1, 80.0)}
    held.remove(second)
    assert held.queues() == {}


def test_the_oldest_age_covers_all_queues() -> None:
    held = Holdings(clock=lambda: 100.0)
    assert held.oldest_age() == 0.0
    held.add(a_delivery(an_inbound(), queue="bridge.inbound.00"), 95.0)
    held.add(a_delivery(an_inbound(), queue="bridge.inbound.01"), 70.0)
    assert held.oldest_age() == 30.0


def test_an_age_is_never_negative_when_another_clock_is_ahead() -> None:
    held = Holdings(clock=lambda: 100.0)
    held.add(a_delivery(an_inbound()), 105.0)
    assert held.oldest_age() == 0.0


def test_what_the_broker_has_taken_back_is_not_held() -> None:
    held = Holdings(clock=lambda: 100.0)
    is_current = [True]
    held.add(a_delivery(an_inbound(), is_current=lambda: is_current[0]), 90.0)
    assert held.queues()
    is_current[0] = False  # the connection is lost: its lanes may still clean up
    assert held.queues() == {}
