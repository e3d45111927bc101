"""Calls do not pile up on their way to a service that stands still for a moment."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from bridge.delivery.stall import TRICKLE, Stall

PATIENCE = 0.06


class World:
    """A service that answers when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stall = Stall(PATIENCE)
        self.hanging: list[ExitStack] = []

    def call(self, took: float) -> None:
        self.stall.began(self.now)
        self.now += took
        self.stall.ended(self.now - took, took)

    def hang(self) -> ExitStack:
        """Make a call that is answered when the stack closes."""
        stack = ExitStack()
        began = self.now
        self.stall.began(began)
        stack.callback(lambda: self.stall.ended(began, self.now - began))
        self.hanging.append(stack)
        return stack

    def passes(self, seconds: float, step: float = 0.01) -> int:
        """Return how many calls pass in this time, if none is answered."""
        number = 0
        for _ in range(round(seconds / step)):
            self.now += step
            if self.stall.lets_pass(self.now):
                self.hang()
                number += 1
        return number


@pytest.mark.parametrize("usual", [0.005, 0.3])
def test_only_a_trickle_passes_while_the_service_stands_still(usual: float) -> None:
    world = World()
    for _ in range(20):
        world.call(usual)
    quick = round((2 * usual + PATIENCE) / 0.01)
    assert quick - 2 <= world.passes(2 * usual + PATIENCE) <= quick + 2
    assert 4 <= world.passes(5 * TRICKLE) <= 6


def test_the_first_answer_ends_it() -> None:
    world = World()
    world.call(0.005)
    hanging = world.hang()
    world.passes(0.5)
    assert not all(world.stall.lets_pass(world.now) for _ in range(3))
    hanging.close()
    # Later calls are still unanswered, and overdue, too.
    assert not all(world.stall.lets_pass(world.now) for _ in range(3))
    world.call(0.0)
    assert all(world.stall.lets_pass(world.now) for _ in range(3))


def test_a_stalled_recipient_does_not_matter() -> None:
    world = World()
    world.call(0.005)
    hanging = [world.hang() for _ in range(20)]
    for _ in range(100):
        world.call(0.02)
        assert all(world.stall.lets_pass(world.now) for _ in range(3))
    for call in hanging:
        call.close()


def test_before_the_first_answer_nothing_is_known() -> None:
    world = World()
    assert world.passes(10) == 1000
