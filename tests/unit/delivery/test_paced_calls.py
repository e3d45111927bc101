"""Calls under rate limits: the dispatcher, and the attempts of a processor. In virtual time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.connectors.limits import RateLimit
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.grants import Grants
from bridge.delivery.pacer import Grant, Pacer, Request
from bridge.delivery.recipients import Recipients
from bridge.errors import RejectedDeliveryError, RetryableDeliveryError, ServiceUnavailable
from bridge.messages import Reply
from bridge.processing import attempts, outcomes, verdict
from bridge.processing.outcomes import Drained
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from bridge.runtime.work import Work, working
from tests.support.fakes import FakePublisher, a_delivery, a_reply
from tests.support.virtual_time import virtually
from tests.unit.delivery.test_dispatcher import NO_HTTP, FakeConnector


class Service(FakeConnector):
    """Notes when it was called, and by which recipient."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[float, str, str | None]] = []
        self.fails_for: dict[str, tuple[Exception, int]] = {}
        """Recipient → the error of its first calls, and how many these are."""

    async def deliver(self, reply: Reply, http: Any) -> None:
        at = round(asyncio.get_running_loop().time() - 1000, 2)
        self.log.append((at, reply.recipient_id, reply.text))
        error, times = self.fails_for.get(reply.recipient_id, (None, 0))
        if error is not None and len(self.times(reply.recipient_id)) <= times:
            raise error
        await super().deliver(reply, http)

    def times(self, who: str = "ada") -> list[float]:
        return [at for at, recipient, _ in self.log if recipient == who]


class World:
    """The delivery of one channel, from the queue to the service."""

    def __init__(
        self, limits: Sequence[RateLimit] = (), total: RateLimit | None = None, slots: int = 2
    ) -> None:
        clock = asyncio.get_running_loop().time
        self.service = Service()
        self.breaker = CircuitBreaker("fake", clock)
        recipients = Recipients(
            "fake", lambda reply: limits, lambda reply: reply.recipient_id, lambda reply: 0, clock
        )
        self.dispatcher = Dispatcher(self.service, NO_HTTP, self.breaker, recipients)
        if total is not None:
            self.dispatcher.limit(granted_locally(total))
        self.journal: list[tuple[str, str]] = []
        self.publisher = FakePublisher(self.journal)
        self.processor = Processor(
            Reply,
            self.dispatcher.deliver,
            self.publisher.queues(),
            concurrency=slots,
            policy=RetryPolicy(base=0.5, cap=1, max_age=3),
            gate=self.breaker,
            pace=recipients,
            channel="fake",
        )
        self.generation = self.processor.open()

    def put(self, *replies: Reply) -> None:
        for reply in replies:
            self.generation.admit(a_delivery(reply, self.journal))

    def put_texts(self, who: str, *texts: str) -> None:
        self.put(
            *(
                a_reply(f"{who}{n}:0", recipient_id=who, channel="fake", text=text)
                for n, text in enumerate(texts)
            )
        )


def ages_virtually(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the age of failing messages count in virtual time."""
    clock = SimpleNamespace(monotonic=asyncio.get_running_loop().time, time=time.time)
    for module in (attempts, outcomes, verdict):
        monkeypatch.setattr(module, "time", clock)


def granted_locally(limit: RateLimit) -> Grants:
    """Return grants whose pacer answers at once."""
    clock = asyncio.get_running_loop().time

    def ask(number: int, calls: int, alarm: int, lease: float) -> None:
        request = Request(
            number=number,
            calls=calls,
            answers="q",
            after_alarm=alarm > 0,
            alarm=alarm,
            lease=lease,
        )
        pacer.asked(request, lambda: None)

    def answer(queue: str, grant: Grant) -> None:
        asyncio.get_running_loop().call_soon(grants.granted, grant)

    pacer = Pacer("p", limit, answer, clock)
    grants = Grants("fake", limit, ask, lambda: 0.0, lambda: False, clock)
    return grants


@virtually
async def test_replies_to_one_recipient_keep_their_order_and_pace() -> None:
    world = World([RateLimit(1)])
    world.put_texts("ada", "one", "two", "three")
    await asyncio.sleep(10)
    assert world.service.texts == ["one", "two", "three"]
    assert world.service.times() == [0, 1, 2]
    assert [what for what, _ in world.journal] == ["acked"] * 3


@virtually
async def test_each_part_of_a_reply_is_a_call() -> None:
    world = World([RateLimit(1)])
    world.put_texts("ada", "one\n\ntwo\n\nthree")
    await asyncio.sleep(10)
    assert world.service.texts == ["one", "two", "three"]
    assert world.service.times() == [0, 1, 2]


@virtually
async def test_a_recipient_that_waits_holds_no_slot() -> None:
    world = World([RateLimit(0.1)], slots=1)
    for n in range(50):
        world.put_texts(f"r{n}", "one\n\ntwo", "three")
    await asyncio.sleep(5)
    assert world.processor.slots.busy == 0
    assert len(world.service.log) == 50, "the first part of each"
    assert max(at for at, *_ in world.service.log) < 0.01


@virtually
async def test_the_wait_for_the_pace_is_not_charged_to_a_failing_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The retry budget is three seconds, the pace one call in ten."""
    ages_virtually(monkeypatch)
    world = World([RateLimit(0.1)])
    world.service.errors = [RetryableDeliveryError("HTTP 503")] * 4
    world.put_texts("ada", "one")
    await asyncio.sleep(60)
    assert world.service.texts == ["one"]
    assert world.service.times() == [0, 10, 20, 30, 40]


@virtually
async def test_the_wait_for_the_limit_of_the_channel_is_not_charged_to_a_failing_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The retry budget is three seconds. Calls of others hold the slots, or come first."""
    ages_virtually(monkeypatch)
    world = World([], RateLimit(1), slots=3)
    world.service.fails_for["ada"] = RetryableDeliveryError("HTTP 503"), 3
    for n in range(20):
        world.put_texts(f"r{n}", "one", "two")
    world.put_texts("ada", "one")
    await asyncio.sleep(200)
    assert len(world.service.times()) == 4
    assert not world.publisher.published, "it is not dead-lettered"


@virtually
async def test_a_reply_that_fails_for_long_is_dead_lettered_although_it_is_paced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ages_virtually(monkeypatch)
    world = World([], RateLimit(20))
    world.service.fails_for["ada"] = RetryableDeliveryError("HTTP 503"), 1000
    world.put_texts("ada", "one")
    await asyncio.sleep(20)
    assert len(world.publisher.published) == 1
    assert max(world.service.times()) < 4


@virtually
async def test_an_accepted_part_is_a_success_for_the_next_one() -> None:
    world = World([RateLimit(0.5)])
    busy = RetryableDeliveryError("HTTP 503")
    world.service.errors = [busy, busy, None, busy, busy, None]
    world.put_texts("ada", "one\n\ntwo")
    await asyncio.sleep(60)
    assert world.service.texts == ["one", "two"]


@virtually
async def test_retry_after_is_obeyed_on_top_of_the_pace() -> None:
    world = World([RateLimit(1)])
    world.service.errors = [RetryableDeliveryError("HTTP 429", retry_after=20)]
    world.put_texts("ada", "one")
    await asyncio.sleep(60)
    first, second = world.service.times()
    assert first == 0
    assert 20 <= second <= 25


@virtually
async def test_a_rejected_reply_spends_a_call() -> None:
    world = World([RateLimit(1)])
    world.service.errors = [RejectedDeliveryError("HTTP 400")]
    world.put_texts("ada", "one", "two")
    await asyncio.sleep(10)
    assert world.service.times() == [0, 1]


@virtually
async def test_no_part_is_sent_once_the_broker_has_taken_the_reply_back() -> None:
    """A connector may swallow the cancellation of the call before."""
    world = World()
    reply = a_reply(channel="fake", text="one\n\ntwo")
    current = iter((True, False))
    with working(Work("k", is_current=lambda: next(current))), pytest.raises(Drained):
        await world.dispatcher.deliver(reply)
    assert world.service.texts == ["one"]


@virtually
async def test_draining_ends_every_wait_at_once() -> None:
    world = World([RateLimit(0.1)], RateLimit(0.1))
    world.put_texts("ada", "one", "two")
    world.put_texts("bob", "one", "two")
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    world.dispatcher.drain()
    assert await world.generation.drain(1000)
    assert asyncio.get_running_loop().time() - began < 1
    assert "acked" not in dict(world.journal)


@virtually
async def test_calls_of_a_channel_keep_its_limit() -> None:
    world = World([], RateLimit(10, 1), slots=5)
    for n in range(50):
        world.put_texts(f"r{n}", "one")
    await asyncio.sleep(20)
    times = sorted(at for at, *_ in world.service.log)
    assert len(times) == 50
    assert 50 / 10 <= times[-1] - times[0] <= 50 / 9


@virtually
async def test_a_call_that_waits_for_its_turn_is_held_once_the_breaker_opens() -> None:
    world = World([], RateLimit(0.2))
    deliver = world.dispatcher.deliver
    waiting = asyncio.ensure_future(deliver(a_reply("e1:0", recipient_id="bob")))
    await asyncio.sleep(0.01)
    world.breaker._evidence.accepted_at = float("-inf")
    world.breaker.failed("eve", ServiceUnavailable("no connection"))
    with pytest.raises(ServiceUnavailable, match="held back"):
        await waiting
    with pytest.raises(ServiceUnavailable, match="held back"):
        await deliver(a_reply("e2:0", recipient_id="eve"))
    assert not world.service.log


@virtually
async def test_after_draining_no_call_waits_for_the_limit() -> None:
    world = World([], RateLimit(1))
    world.dispatcher.drain()
    with pytest.raises(Drained):
        await world.dispatcher.deliver(a_reply())


@virtually
async def test_a_new_generation_does_not_believe_the_old_one() -> None:
    world = World([RateLimit(1, 5)])
    world.put_texts("ada", "one")
    await asyncio.sleep(100)
    await world.generation.cancel()
    world.generation = world.processor.open()
    world.put_texts("bob", *"abcdefgh")
    await asyncio.sleep(0.1)
    assert len(world.service.times("bob")) == 2
