"""The circuit breaker of a channel: when it opens, which lanes may probe, and when it closes."""

from __future__ import annotations

import asyncio
import itertools
import time
from random import Random

import pytest

from bridge.delivery.circuit_breaker import FRESH_PAUSE, LONGEST_PAUSE, PROBES, CircuitBreaker
from bridge.delivery.evidence import FAILURES, OPENING, SILENCE
from bridge.errors import RetryableDeliveryError, ServiceUnavailable
from bridge.runtime.retry import LONGEST_WAIT
from tests.support.virtual_time import virtually

BUSY = RetryableDeliveryError("HTTP 503")
GONE = ServiceUnavailable("no connection")
TINY = 0.001


def wait(seconds: float) -> RetryableDeliveryError:
    return RetryableDeliveryError("HTTP 429", seconds, scope="channel")


class Lane:
    """A lane that waits until the breaker lets it pass."""

    numbers = itertools.count()

    def __init__(self, breaker: CircuitBreaker, recipient: str | None = None) -> None:
        self.recipient = recipient or f"lane {next(self.numbers)}"
        self.task = asyncio.ensure_future(breaker.passage(self.recipient))

    @property
    def passed(self) -> bool:
        return self.task.done() and not self.task.cancelled()


def make() -> CircuitBreaker:
    return CircuitBreaker("slack", asyncio.get_running_loop().time, Random(1))


def opened() -> CircuitBreaker:
    breaker = make()
    breaker.failed("ada", GONE)
    assert not breaker.is_open
    return breaker


def failed_lanes(breaker: CircuitBreaker, count: int) -> list[Lane]:
    """Return waiting lanes of recipients whose calls failed while the breaker was open."""
    names = [f"failed {n}" for n in range(count)]
    for name in names:
        breaker.failed(name, GONE)
    return [Lane(breaker, name) for name in names]


async def passed(lanes: list[Lane], seconds: float = TINY) -> int:
    """Return how many lanes have passed after a time."""
    await asyncio.sleep(seconds)
    return sum(lane.passed for lane in lanes)


@virtually
async def test_a_new_breaker_lets_calls_through() -> None:
    breaker = make()
    assert breaker.is_open
    await breaker.passage("ada")


@virtually
async def test_an_unreachable_service_opens_the_breaker_at_once() -> None:
    opened()


@virtually
async def test_an_unreachable_recipient_does_not_while_others_are_served() -> None:
    breaker = make()
    breaker.succeeded("eve")
    await asyncio.sleep(SILENCE / 2)
    breaker.failed("ada", GONE)
    assert breaker.is_open


@virtually
async def test_failures_open_the_breaker_once_they_are_proof() -> None:
    breaker = make()
    for n in range(FAILURES * 10):
        breaker.failed(n, BUSY)
    assert breaker.is_open
    await asyncio.sleep(OPENING)
    breaker.failed("bob", BUSY)
    assert not breaker.is_open


@virtually
async def test_a_call_in_flight_may_still_prove_that_the_service_is_up() -> None:
    breaker = make()
    breaker.started("slow")
    for n in range(FAILURES * 10):
        breaker.failed(n, BUSY)
    await asyncio.sleep(OPENING)
    breaker.failed("bob", BUSY)
    assert breaker.is_open
    breaker.left("slow")
    breaker.failed("bob", BUSY)
    assert not breaker.is_open


@virtually
async def test_lanes_that_have_not_failed_probe_at_once_and_at_a_low_rate() -> None:
    breaker = opened()
    lanes = [Lane(breaker) for _ in range(10)]
    assert await passed(lanes) == PROBES
    assert await passed(lanes, FRESH_PAUSE / 2) == PROBES
    assert await passed(lanes, FRESH_PAUSE / 2) == 2 * PROBES
    assert await passed(lanes, FRESH_PAUSE) == 3 * PROBES


@virtually
async def test_probes_are_chosen_at_random() -> None:
    first = []
    for seed in range(20):
        breaker = CircuitBreaker("slack", asyncio.get_running_loop().time, Random(seed))
        breaker.failed("ada", GONE)
        lanes = [Lane(breaker) for _ in range(10)]
        await asyncio.sleep(FRESH_PAUSE + TINY)
        first.append(tuple(n for n, lane in enumerate(lanes[2:]) if lane.passed))
    assert len(set(first)) > 5


@virtually
async def test_a_stalled_probe_does_not_delay_the_next() -> None:
    breaker = opened()
    lanes = [Lane(breaker) for _ in range(2 * PROBES)]
    assert await passed(lanes) == PROBES
    breaker.started(lanes[0].recipient)
    assert await passed(lanes, FRESH_PAUSE) == 2 * PROBES


@virtually
async def test_lanes_that_have_failed_wait_longer() -> None:
    breaker = opened()
    lanes = failed_lanes(breaker, 50)
    assert await passed(lanes, FRESH_PAUSE - 2 * TINY) == 0
    assert await passed(lanes, 30) < 30


@virtually
async def test_a_lane_that_arrives_later_probes_at_once() -> None:
    breaker = opened()
    failed_lanes(breaker, 20)
    await asyncio.sleep(100)
    assert await passed([Lane(breaker)]) == 1


@virtually
async def test_recipients_that_failed_while_others_were_served_probe_last() -> None:
    breaker = make()
    for n in range(50):
        breaker.failed(f"broken {n}", BUSY)
    breaker.succeeded("eve")
    await asyncio.sleep(SILENCE)
    breaker.failed("ada", GONE)
    broken = [Lane(breaker, f"broken {n}") for n in range(50)]
    down = failed_lanes(breaker, PROBES)
    while not await passed([*broken, *down]):
        pass
    assert await passed(down) == PROBES
    assert await passed(broken) == 0


@virtually
async def test_pauses_grow_up_to_a_limit() -> None:
    breaker = opened()
    lanes = failed_lanes(breaker, 400)
    at = []
    for _ in range(50):
        before = sum(lane.passed for lane in lanes)
        while sum(lane.passed for lane in lanes) == before:
            await asyncio.sleep(0.05)
        at.append(asyncio.get_running_loop().time())
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert max(pauses[:2]) < 2.6
    assert max(pauses) > 3
    assert max(pauses) < LONGEST_PAUSE + 0.1


@virtually
async def test_one_accepted_call_lets_every_lane_pass() -> None:
    breaker = opened()
    lanes = [*failed_lanes(breaker, 5), *(Lane(breaker) for _ in range(5))]
    await passed(lanes)
    breaker.succeeded("eve")
    assert await passed(lanes) == 10
    assert breaker.is_open


@virtually
async def test_a_call_that_was_made_before_the_service_went_down_does_not_close_the_breaker() -> (
    None
):
    breaker = make()
    breaker.started("slow")
    breaker.failed("ada", GONE)
    breaker.succeeded("slow")
    assert not breaker.is_open
    breaker.started("slow")
    breaker.succeeded("slow")
    assert breaker.is_open, "the next one does"


@virtually
async def test_only_probes_may_call_while_the_breaker_is_open() -> None:
    breaker = make()
    assert breaker.may_call("ada")
    breaker = opened()
    assert not breaker.may_call("ada")
    await breaker.passage("eve")
    assert breaker.may_call("eve")
    assert not breaker.may_call("ada")
    breaker.failed("eve", GONE)
    assert not breaker.may_call("eve")


@virtually
async def test_a_probe_that_made_no_call_may_not_call_later() -> None:
    breaker = opened()
    await breaker.passage("eve")
    breaker.left("eve")
    assert not breaker.may_call("eve")


@virtually
async def test_a_cancelled_lane_does_not_use_up_a_probe() -> None:
    breaker = opened()
    await passed([Lane(breaker) for _ in range(PROBES)])
    lanes = [Lane(breaker) for _ in range(PROBES + 1)]
    await passed(lanes)
    lanes[0].task.cancel()
    assert await passed(lanes[1:], FRESH_PAUSE) == PROBES


@virtually
async def test_a_breaker_opens_again() -> None:
    breaker = opened()
    breaker.succeeded("eve")
    await asyncio.sleep(SILENCE)
    breaker.failed("bob", GONE)
    assert not breaker.is_open


@virtually
async def test_a_service_that_asks_the_channel_to_wait_gets_no_call_until_then() -> None:
    breaker = make()
    breaker.succeeded("eve")
    breaker.failed("ada", wait(100))
    assert not breaker.is_open
    lanes = [Lane(breaker, name) for name in ("ada", "bob", "eve")]
    assert await passed(lanes, 99.9) == 0
    assert not breaker.may_call("eve")
    assert await passed(lanes, 0.2) == PROBES
    breaker.succeeded("eve")
    assert await passed(lanes) == 3


@virtually
async def test_a_call_that_was_in_flight_does_not_end_the_pause() -> None:
    breaker = make()
    breaker.started("eve")
    breaker.failed("ada", wait(100))
    breaker.succeeded("eve")
    lanes = [Lane(breaker)]
    assert await passed(lanes, 99.9) == 0
    assert await passed(lanes, 0.2) == 1


@virtually
async def test_the_longest_of_several_waits_counts() -> None:
    breaker = make()
    for seconds in (10, 50, 20):
        breaker.failed("ada", wait(seconds))
    lanes = [Lane(breaker)]
    assert await passed(lanes, 49.9) == 0
    assert await passed(lanes, 0.2) == 1


@virtually
async def test_a_pause_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    breaker = make()
    for _ in range(10):
        breaker.failed("ada", wait(3600))
        await asyncio.sleep(0.01)
    (record,) = caplog.records
    assert record.getMessage() == ("channel paused for 1 h: the service asks to wait (HTTP 429)")


@virtually
@pytest.mark.parametrize("error", [wait(0), wait(LONGEST_WAIT + 1), wait(float("inf"))])
async def test_a_wait_that_is_not_obeyed_pauses_nothing(error: RetryableDeliveryError) -> None:
    breaker = make()
    breaker.failed("ada", error)
    assert breaker.is_open


@virtually
async def test_an_open_breaker_says_why_since_when_and_when_the_next_probe_is_due() -> None:
    breaker = make()
    assert breaker.held_back is None
    began = time.time()
    breaker.failed("ada", GONE)
    held = breaker.held_back
    assert held is not None
    assert (held.why, held.next_at) == ("no connection", 0.0)  # nothing waits
    assert began <= held.since <= time.time()
    failed_lanes(breaker, 1)
    breaker.failed("bob", BUSY)
    later = breaker.held_back
    assert later is not None
    assert (later.why, later.since) == ("HTTP 503", held.since)
    await asyncio.sleep(0)
    later = breaker.held_back
    assert later is not None
    assert 0 < later.next_at - time.time() <= LONGEST_PAUSE
    breaker.succeeded("eve")
    assert breaker.held_back is None


@virtually
async def test_a_probe_on_request_does_not_wait_even_if_the_service_asked_for_that() -> None:
    breaker = make()
    breaker.failed("ada", wait(600))
    lanes = [Lane(breaker), *failed_lanes(breaker, 3)]
    assert await passed(lanes, 10) == 0
    breaker.try_now()
    assert await passed(lanes) == 1 + PROBES
    breaker.succeeded(lanes[0].recipient)
    assert await passed(lanes) == 4


@virtually
async def test_a_probe_on_request_changes_nothing_while_the_service_is_up() -> None:
    breaker = make()
    breaker.try_now()
    assert breaker.is_open
    assert breaker.held_back is None
