"""Messages that were returned to their queues: what comes later must not overtake them."""

from __future__ import annotations

import pytest

from bridge.messages import Delivery
from bridge.processing import returns as module
from bridge.processing.returns import Returns
from tests.support.fakes import a_delivery

QUEUE, OTHER = "bridge.inbound.07", "bridge.inbound.high.07"
LANE = "anna"


def delivered(redelivered: bool = False, queue: str = QUEUE) -> Delivery:
    return a_delivery(b"{}", queue=queue, redelivered=redelivered)


@pytest.fixture
def returns() -> Returns:
    """Two messages of a lane were returned."""
    returns = Returns()
    for identity in ("1", "2"):
        returns.note(QUEUE, LANE, identity)
    return returns


def test_a_new_message_overtakes_until_all_returned_ones_are_back(returns: Returns) -> None:
    for identity in ("1", "2"):
        assert not returns.is_back(delivered(), LANE, "3")
        assert returns.is_overtaking(delivered(), LANE)
        assert returns.is_back(delivered(redelivered=True), LANE, identity)
    assert not returns.is_overtaking(delivered(), LANE)
    assert not returns.concern(QUEUE)


def test_nothing_overtakes_on_a_queue_that_has_everything_back(returns: Returns) -> None:
    returns.note(OTHER, LANE, "3")
    returns.forget(QUEUE)
    assert not returns.is_overtaking(delivered(), LANE)
    assert not returns.concern(QUEUE)
    assert returns.is_overtaking(delivered(queue=OTHER), LANE)


def test_other_lanes_and_other_queues_are_not_concerned(returns: Returns) -> None:
    assert not returns.is_overtaking(delivered(), "berta")
    assert not returns.is_overtaking(delivered(queue=OTHER), LANE)
    assert returns.concern(QUEUE)
    assert not returns.concern(OTHER)


def test_a_message_that_is_back_tells_that_those_before_it_are_settled(returns: Returns) -> None:
    returns.note(QUEUE, LANE, "3")
    assert returns.is_back(delivered(redelivered=True), LANE, "3")
    assert not returns.is_overtaking(delivered(), LANE)


def test_a_message_that_returns_twice_is_behind_the_others(returns: Returns) -> None:
    returns.note(QUEUE, LANE, "1")
    assert returns.is_back(delivered(redelivered=True), LANE, "2")
    assert returns.is_overtaking(delivered(), LANE)


def test_a_second_publish_of_a_returned_message_is_a_new_message(returns: Returns) -> None:
    assert not returns.is_back(delivered(), LANE, "1")
    assert returns.is_overtaking(delivered(), LANE)


def test_the_memory_is_bounded(returns: Returns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    for n in range(3):
        returns.note(QUEUE, f"lane-{n}", "1")
    assert not returns.is_overtaking(delivered(), LANE)
    assert returns.is_overtaking(delivered(), "lane-0")
