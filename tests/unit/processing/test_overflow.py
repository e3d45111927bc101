"""How a stalled lane overflows: what is published, acked and settled, and in which order.

The overflow queue is a list of this process; `tests/integration/test_overflow.py` has a real one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.broker.overflow import Found, Place
from bridge.broker.queues import MARK
from bridge.broker.topology import Depth
from bridge.errors import AccessRefused, BridgeError, BrokerUnavailable, Unroutable
from bridge.messages import (
    HIGH,
    NORMAL,
    REPEATED,
    Delivery,
    InboundMessage,
    Priority,
    TurnPolicy,
)
from bridge.processing import spilling
from bridge.processing.ahead import Ahead
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import FakePublisher, Journal, Published, a_delivery, an_inbound, quiet
from tests.support.waiting import eventually

PREFETCH = 8


class FakeReader:
    """Stands in for the channel that consumes an overflow queue."""

    def __init__(self, window: FakeWindow, on_delivery: Callable[[Delivery], None]) -> None:
        self.held = 0
        self.task = asyncio.ensure_future(self._deliver(window, on_delivery))

    async def _deliver(self, window: FakeWindow, on_delivery: Callable[[Delivery], None]) -> None:
        while True:
            await asyncio.sleep(0)
            delivery = window.take(self)
            if delivery is not None:
                on_delivery(delivery)

    def abandon(self) -> None:
        self.task.cancel()


class FakeWindow:
    """Stands in for `bridge.broker.overflow.Window`."""

    prefetch = read_at_most = PREFETCH

    def __init__(self, publisher: FakePublisher, journal: Journal) -> None:
        self._publisher = publisher
        self._journal = journal
        self.refusal: BridgeError | None = None
        self.left: list[Published] = []
        """What another process left in the overflow queue."""
        self.exists = False
        self.is_settled = False
        self._taken = 0

    def place(self, partition: str, lane: Hashable, key: str) -> Place:
        return Place(partition, f"overflow of {lane}", f"settled {key}")

    async def look(self, place: Place, since: float) -> Found:
        return Found(len(self.left) if self.exists else None, self.is_settled)

    async def open(self, place: Place) -> None:
        if self.refusal:
            raise self.refusal
        self.exists = True

    def waiting(self) -> list[Published]:
        published = self._publisher.published
        moved = [p for p in published if p.routing_key.startswith("overflow of")]
        return (self.left + moved)[self._taken :]

    async def read(self, place: Place, on_delivery: Callable[[Delivery], None]) -> FakeReader:
        return FakeReader(self, on_delivery)

    async def stop_reading(self, reader: FakeReader) -> None:
        reader.task.cancel()

    def take(self, reader: FakeReader) -> Delivery | None:
        """Return the next message, unless the reader holds as many as it may."""
        waiting = self.waiting()
        if not waiting or reader.held >= self.read_at_most:
            return None
        self._taken += 1
        properties = waiting[0].properties
        id, kind = properties["message_id"], properties["kind"]
        reader.held += 1

        async def ack() -> None:
            reader.held -= 1
            if kind != MARK:
                self._journal.append(("acked from overflow", id))

        delivery = a_delivery(waiting[0].body, message_id=id, kind=kind, ack=ack)
        repeated = REPEATED in (properties.get("headers") or {})
        return replace(delivery, redelivered=repeated, overflowed=True)

    async def close(self, place: Place) -> None:
        self._journal.append(("deleted", place.queue))

    async def close_index(self, partition: str, is_last: Callable[[], bool]) -> None:
        assert is_last()
        self._journal.append(("deleted", f"index of {partition}"))

    async def forget(self, place: Place) -> None:
        self._journal.append(("forgotten", place.settled))

    async def depth(self, partition: str) -> Depth | None:
        return Depth(0, 1)


class Bench:
    """One conversation whose first message stalls until `go` is set."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.window = FakeWindow(self.publisher, self.journal)
        self.go = asyncio.Event()
        self.fails: set[str] = set()
        self.meanwhile: dict[str, asyncio.Event] = {}
        """Id → what its turn waits for."""
        self.handled: list[str] = []
        self.turns: list[str] = []
        """The texts of the turns that began."""
        self.processor = Processor(
            InboundMessage,
            self._handle,
            self.publisher.queues(),
            concurrency=4,
            policy=RetryPolicy(base=0.0, cap=0.0, max_attempts=1),
        )
        window: Any = self.window
        self.generation = self.processor.open(window)

    async def _handle(self, message: InboundMessage) -> None:
        self.turns.append(message.text)
        await self.go.wait()
        if message.id in self.meanwhile:
            await self.meanwhile[message.id].wait()
        if message.id in self.fails:
            raise ValueError
        self.handled.append(message.id)

    def admit(
        self,
        *numbers: int,
        turns: TurnPolicy | None = None,
        priority: Priority = NORMAL,
        **changes: Any,
    ) -> None:
        for n in numbers:
            message = an_inbound(str(n), text=str(n), turns=turns, priority=priority)
            delivery = a_delivery(message, self.journal, publish_id=f"p{n}", **changes)
            self.generation.admit(delivery)

    def ids(self, what: str) -> list[str]:
        return [id for happened, id in self.journal if happened == what]

    async def overflows(self, count: int = PREFETCH - 1) -> None:
        await eventually(lambda: len(self.ids("acked")) >= count)

    async def ends(self, count: int) -> None:
        await eventually(lambda: self.generation.lanes() == 0 and len(self.handled) >= count)

    def moved(self) -> list[str]:
        return [
            p.properties["message_id"]
            for p in self.publisher.published
            if p.routing_key.startswith("overflow of") and p.properties["kind"] != MARK
        ]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)
    monkeypatch.setattr(spilling, "PAUSE", 0.0)


@pytest.fixture
def names() -> list[str]:
    return [str(n) for n in range(20)]


async def test_copies_are_published_in_order_and_the_originals_acked(names: list[str]) -> None:
    bench = Bench()
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    assert bench.moved() == bench.ids("acked") == names[1:PREFETCH]
    for n in range(PREFETCH, 12):  # what arrives later goes there, too
        bench.admit(n)
    await bench.overflows(11)
    assert bench.moved() == names[1:12]
    assert bench.handled == []


async def test_the_oldest_message_is_acked_after_everything_that_overflowed(
    names: list[str],
) -> None:
    bench = Bench()
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    bench.go.set()
    await bench.ends(PREFETCH)
    assert bench.handled == names[:PREFETCH]
    assert bench.journal[-3:] == [
        ("deleted", "overflow of ada"),
        ("acked", "0"),
        ("forgotten", "settled p0"),
    ]
    keys = [p.routing_key for p in bench.publisher.published]
    settled = [key for key in keys if key.startswith("settled")]
    assert settled == ["settled p0"]
    bench.admit(12)  # the lane is as any other again
    await bench.ends(PREFETCH + 1)
    assert bench.journal[-2:] == [("deleted", "index of bridge.inbound.07"), ("acked", "12")]
    bench.admit(13)
    await bench.ends(PREFETCH + 2)
    assert bench.journal[-2] == ("acked", "12")


@pytest.mark.parametrize("redelivered", [False, True])
async def test_an_urgent_message_goes_before_those_that_overflowed(
    names: list[str], redelivered: bool
) -> None:
    """It waits for the turn that runs; unless it was redelivered, for nothing else."""
    bench = Bench()
    bench.meanwhile["1"] = asyncio.Event()
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    bench.go.set()
    await eventually(lambda: bench.turns == ["0", "1"])
    bench.admit(12, priority=HIGH, redelivered=redelivered)
    bench.meanwhile["1"].set()
    await bench.ends(PREFETCH + 1)
    # What was redelivered may be the oldest of its own overflow queue.
    after = PREFETCH if redelivered else 2
    assert bench.handled == [*names[:after], "12", *names[after:PREFETCH]]
    assert sorted(bench.ids("acked"), key=int) == [*names[:PREFETCH], "12"]


@pytest.mark.parametrize("error", [BrokerUnavailable("lost"), Unroutable("not bound")])
async def test_an_unconfirmed_copy_is_published_again_with_those_behind_it(
    error: BridgeError, names: list[str]
) -> None:
    bench = Bench()
    bench.publisher.errors = [error]
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    # 2 and those behind it may be there twice, but each comes first in its place.
    assert list(dict.fromkeys(bench.moved()[-7:])) == names[1:PREFETCH]
    bench.go.set()
    await bench.ends(PREFETCH)
    assert sorted(set(bench.handled), key=int) == names[:PREFETCH]
    assert len(bench.handled) == PREFETCH


async def test_no_copy_is_published_once_the_generation_has_ended(names: list[str]) -> None:
    """It had been started, but what waits for it had not: that never ran."""
    bench = Bench()
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    bench.admit(PREFETCH)
    await bench.generation.cancel()
    await quiet()
    assert bench.moved() == names[1:PREFETCH]


async def test_a_second_copy_of_a_dead_letter_is_not_dead_lettered_again() -> None:
    bench = Bench()
    bench.fails = {"1"}
    bench.publisher.errors = []
    bench.admit(0)
    bench.admit(1, 1, redelivered=True)
    bench.admit(*range(2, PREFETCH - 1))
    await bench.overflows()
    bench.go.set()
    await bench.ends(PREFETCH - 2)
    assert len(bench.ids("published to bridge.dead")) == 1
    assert bench.handled == ["0", *map(str, range(2, PREFETCH - 1))]


async def test_without_the_right_to_declare_queues_the_lane_goes_on(names: list[str]) -> None:
    bench = Bench()
    bench.window.refusal = AccessRefused("refused")
    bench.admit(*range(PREFETCH))
    await asyncio.sleep(0)
    await eventually(lambda: not bench.generation.overflows.spilling.lanes)
    bench.go.set()
    await bench.ends(PREFETCH)
    assert bench.handled == bench.ids("acked") == names[:PREFETCH]
    assert bench.moved() == []


async def test_an_overflow_queue_has_a_limit(
    monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    monkeypatch.setattr(spilling, "LONGEST", 3)
    bench = Bench()
    bench.admit(*range(PREFETCH))
    await bench.overflows(3)
    assert bench.moved() == names[1:4]
    bench.go.set()
    await bench.ends(PREFETCH)
    assert bench.handled == names[:PREFETCH]


async def test_what_another_process_left_is_settled_before_newer_messages() -> None:
    first = Bench()
    first.admit(*range(PREFETCH))
    await first.overflows()
    second = Bench()
    second.window.exists = True
    second.window.left = first.window.waiting()
    second.admit(0, redelivered=True)
    second.admit(20, 21)
    second.go.set()
    await second.ends(PREFETCH + 2)
    assert second.handled == [*map(str, range(PREFETCH)), "20", "21"]


async def test_a_message_that_another_process_settled_does_not_run_again() -> None:
    bench = Bench()
    bench.window.exists = bench.window.is_settled = True
    bench.admit(0, redelivered=True)
    bench.admit(1)
    bench.go.set()
    await bench.ends(1)
    assert bench.handled == ["1"]
    assert bench.ids("acked")[-1] == "0"


async def test_draining_leaves_the_oldest_message_unsettled() -> None:
    bench = Bench()
    bench.admit(*range(PREFETCH))
    await bench.overflows()
    draining = asyncio.Event()
    bench.meanwhile["3"] = draining
    bench.go.set()
    await eventually(lambda: bench.handled == ["0", "1", "2"])
    drain = asyncio.ensure_future(bench.generation.drain(30))
    await quiet()
    draining.set()
    assert await drain
    assert bench.ids("acked from overflow") == ["1", "2", "3"]
    assert "0" not in bench.ids("acked")


@pytest.mark.parametrize("kind", ["collect", "interrupt"])
async def test_an_overflow_queue_makes_turns_of_several_messages(
    kind: str, names: list[str]
) -> None:
    bench = Bench()
    bench.admit(0)
    await eventually(lambda: bench.turns)
    bench.admit(*range(1, PREFETCH), turns=TurnPolicy(kind, quiet=0.0, max_messages=3))
    await bench.overflows()
    bench.go.set()
    await eventually(lambda: bench.generation.lanes() == 0)
    assert bench.turns == ["0", "1\n2\n3", "4\n5\n6", "7"]
    assert bench.ids("acked from overflow") == names[1:PREFETCH]


async def test_an_overflow_queue_supersedes() -> None:
    bench = Bench()
    bench.admit(0)
    await eventually(lambda: bench.turns)
    bench.admit(*range(1, PREFETCH), turns=TurnPolicy("latest", quiet=0.0))
    await bench.overflows()
    bench.go.set()
    await eventually(lambda: bench.generation.lanes() == 0)
    assert bench.turns == ["0", "7"]


async def test_each_message_of_a_turn_that_fails_is_a_dead_letter(names: list[str]) -> None:
    bench = Bench()
    bench.fails = {"3"}
    bench.admit(0)
    await eventually(lambda: bench.turns)
    bench.admit(*range(1, PREFETCH), turns=TurnPolicy("collect", quiet=0.0, max_messages=3))
    await bench.overflows()
    bench.go.set()
    await eventually(lambda: bench.generation.lanes() == 0)
    assert bench.ids("published to bridge.dead") == ["1", "2", "3"]
    assert bench.handled == ["0", "6", "7"]
    assert bench.ids("acked from overflow") == names[1:PREFETCH]


async def test_a_turn_waits_for_quiet_in_an_overflow_queue_too(names: list[str]) -> None:
    bench = Bench()
    bench.admit(0)
    await eventually(lambda: bench.turns)
    bench.admit(*range(1, PREFETCH), turns=TurnPolicy("collect", quiet=0.3))
    await bench.overflows()
    bench.go.set()
    await eventually(lambda: bench.generation.gathering.waiting)
    bench.admit(PREFETCH, turns=TurnPolicy("collect", quiet=0.3))
    await eventually(lambda: bench.generation.lanes() == 0)
    assert bench.turns == ["0", "\n".join(names[1 : PREFETCH + 1])]


def test_a_second_copy_and_what_follows_it_join_no_turn() -> None:
    messages = [an_inbound(str(n)) for n in range(4)]
    deliveries = [a_delivery(message) for message in messages]
    deliveries[2] = replace(deliveries[2], headers={REPEATED: True})
    items = list(zip(deliveries, messages, strict=True))
    lanes: Any = SimpleNamespace(lanes={"c": SimpleNamespace(ahead=deque(items[1:]))})
    none: Any = None
    ahead: Ahead[InboundMessage] = Ahead(none, none, none, lanes, None, none)
    assert ahead.behind(deliveries[0], "c") == items[1:2]
    assert ahead.behind(deliveries[2], "c") == []
