"""The lock of a partition: which messages may run in this process, and what is held for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.broker.queues import LOCK
from bridge.errors import BrokerUnavailable
from bridge.messages import Delivery
from bridge.processing import partitions as module
from bridge.processing.partitions import Partitions
from tests.support.fakes import a_delivery, quiet
from tests.support.waiting import eventually

NORMAL, HIGH = "bridge.inbound.07", "bridge.inbound.high.07"


class Bench:
    """One partition, and what happens to its deliveries, by name."""

    def __init__(self) -> None:
        self.run: list[str] = []
        self.acked: list[str] = []
        self.rings = 0
        self.asks = 0
        self.broken = False
        self.left: list[str] = []
        self.partitions: Partitions[str] = Partitions(
            {HIGH: NORMAL}, self.run.append, self._ring, self._ask, self._leave
        )
        self._deliveries: dict[str, Delivery] = {}

    async def _ring(self, queue: str) -> None:
        assert queue == NORMAL
        await asyncio.sleep(0)
        self.rings += 1
        if self.broken:
            raise BrokerUnavailable("gone")

    async def _ask(self, queue: str) -> None:
        assert queue == NORMAL
        self.asks += 1

    def _leave(self, names: list[str]) -> None:
        self.left.extend(names)

    def _delivery(self, name: str, queue: str, **changes: Any) -> Delivery:
        async def ack() -> None:
            self.acked.append(name)

        delivery = a_delivery(b"{}", queue=queue, ack=ack, **changes)
        self._deliveries[name] = delivery
        return delivery

    async def arrives(self, name: str, queue: str, **changes: Any) -> None:
        self.partitions.admit(self._delivery(name, queue, **changes), name)
        await quiet(10)

    async def token(self, name: str) -> None:
        self.partitions.take_token(self._delivery(name, NORMAL, kind=LOCK))
        await quiet(10)

    async def gives_up(self, name: str) -> None:
        await self.partitions.give_up(self._deliveries[name])

    async def ends(self, name: str) -> None:
        await self.partitions.settle(self._deliveries[name])
        await quiet(10)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "LEASE", 0.05)
    return Bench()


async def test_a_normal_message_needs_nothing_else(bench: Bench) -> None:
    await bench.arrives("n", NORMAL)
    await bench.ends("n")
    assert (bench.run, bench.acked, bench.rings) == (["n"], ["n"], 0)


async def test_an_urgent_message_runs_at_once_while_a_normal_one_is_held(bench: Bench) -> None:
    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    assert (bench.run, bench.rings) == (["n", "h"], 0)
    await bench.ends("h")
    await bench.ends("n")
    assert bench.acked == ["h", "n"]


async def test_without_a_lock_an_urgent_message_rings_and_waits(bench: Bench) -> None:
    await bench.arrives("h1", HIGH)
    await bench.arrives("h2", HIGH)
    assert (bench.run, bench.rings) == ([], 1)
    await bench.token("t")
    assert (bench.run, bench.acked) == (["h1", "h2"], [])


async def test_any_normal_message_is_the_lock_too(bench: Bench) -> None:
    await bench.arrives("h", HIGH)
    await bench.arrives("n", NORMAL)
    assert bench.run == ["h", "n"]
    await bench.token("late")
    await bench.ends("h")
    await bench.ends("n")
    await eventually(lambda: bench.acked == ["h", "n", "late"])


async def test_a_token_is_held_a_moment_longer_than_needed(bench: Bench) -> None:
    await bench.arrives("h1", HIGH)
    await bench.token("t")
    await bench.ends("h1")
    assert bench.acked == ["h1"]
    await bench.arrives("h2", HIGH)
    assert (bench.run, bench.rings) == (["h1", "h2"], 1)
    await asyncio.sleep(3 * module.LEASE)
    assert bench.acked == ["h1"], "the token is acked while a message needs it"
    await bench.ends("h2")
    await eventually(lambda: bench.acked == ["h1", "h2", "t"])
    await bench.arrives("h3", HIGH)
    assert (bench.run, bench.rings) == (["h1", "h2"], 2)


async def test_a_token_that_is_not_needed_is_acked(bench: Bench) -> None:
    await bench.token("stray")
    assert bench.acked == ["stray"]
    await bench.arrives("h", HIGH)
    await bench.token("t1")
    await bench.token("t2")
    assert bench.acked == ["stray", "t2"]


async def test_the_last_normal_message_stays_unacked_until_a_token_replaces_it(
    bench: Bench,
) -> None:
    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.ends("n")
    assert (bench.acked, bench.rings) == ([], 1)
    await bench.token("t")
    assert bench.acked == ["n"]
    await bench.ends("h")
    await eventually(lambda: bench.acked == ["n", "h", "t"])


async def test_the_last_normal_message_is_acked_with_the_last_urgent_one(bench: Bench) -> None:
    """A takeover is pending: no token arrives, and no further message."""
    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.ends("n")
    await bench.ends("h")
    assert sorted(bench.acked) == ["h", "n"]


async def test_what_follows_an_ack_waits_until_the_message_is_no_lock_any_more(
    bench: Bench,
) -> None:
    async def then() -> None:
        bench.acked.append("then")

    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.partitions.settle(bench._deliveries["n"], then)
    await quiet(10)
    assert bench.acked == []
    await bench.ends("h")
    assert sorted(bench.acked) == ["h", "n", "then"]
    assert bench.acked.index("n") < bench.acked.index("then")


async def test_nothing_follows_an_ack_that_comes_too_late(bench: Bench) -> None:
    """The channel has been given up: the message returns, and what tells of it is still needed."""
    followed = []

    async def then() -> None:
        followed.append("then")

    await bench.arrives("n", NORMAL, is_current=lambda: False)
    await bench.arrives("h", HIGH)
    await bench.partitions.settle(bench._deliveries["n"], then)
    await bench.partitions.release()
    await bench.arrives("n2", NORMAL, is_current=lambda: False)
    await bench.partitions.settle(bench._deliveries["n2"], then)
    assert followed == []


async def test_a_token_is_acked_at_once_when_what_it_protects_returns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that goes on with the message needs the lock."""
    monkeypatch.setattr(module, "LEASE", 60.0)
    await bench.arrives("h", HIGH)
    await bench.token("t")
    await bench.gives_up("h")
    await eventually(lambda: bench.acked == ["t"])


async def test_another_normal_message_replaces_the_last_one_as_the_lock(bench: Bench) -> None:
    await bench.arrives("n1", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.ends("n1")
    await bench.arrives("n2", NORMAL)
    assert bench.acked == ["n1"]


async def test_it_rings_again_until_it_has_the_lock(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RING_AGAIN", 0.01)
    bench.broken = True
    await bench.arrives("h", HIGH)
    await eventually(lambda: bench.rings > 2)
    await bench.token("t")
    rings = bench.rings
    await asyncio.sleep(0.2)
    assert bench.rings == rings


async def test_what_finds_the_lock_taken_by_another_process_returns_to_its_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process waits for these messages, and would never let the lock go."""
    monkeypatch.setattr(module, "RING_AGAIN", 0.05)
    await bench.arrives("h1", HIGH)
    await bench.arrives("h2", HIGH)
    await eventually(lambda: bench.left == ["h1", "h2"])
    assert (bench.run, bench.rings) == ([], 1)
    await bench.arrives("h3", HIGH)
    assert bench.rings == 2


async def test_messages_may_run_on_the_normal_queue_and_on_others_while_the_lock_is_held(
    bench: Bench,
) -> None:
    normal, high = a_delivery(b"{}", queue=NORMAL), a_delivery(b"{}", queue=HIGH)
    may_run = bench.partitions.may_run
    assert (may_run(normal), may_run(high)) == (True, False)
    await bench.arrives("n", NORMAL)
    assert (may_run(normal), may_run(high)) == (True, True)


async def test_nothing_returns_while_the_broker_confirms_no_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RING_AGAIN", 0.01)
    bench.broken = True
    await bench.arrives("h", HIGH)
    await eventually(lambda: bench.rings > 2)
    assert bench.left == []


async def test_the_last_normal_message_returns_once_no_urgent_one_needs_it(bench: Bench) -> None:
    await bench.arrives("n1", NORMAL)
    await bench.arrives("n2", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.gives_up("n1")
    giving_up = asyncio.ensure_future(bench.gives_up("n2"))
    await quiet(10)
    assert not giving_up.done()
    await bench.ends("h")
    await giving_up
    assert bench.acked == ["h"]


async def test_a_drained_process_acks_what_it_holds_as_a_lock(bench: Bench) -> None:
    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.ends("n")
    await bench.partitions.release()
    assert bench.acked == ["n"]


async def test_a_closed_one_acks_nothing_and_rings_no_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RING_AGAIN", 0.01)
    await bench.arrives("h", HIGH)
    bench.partitions.close()
    rings = bench.rings
    await asyncio.sleep(0.1)
    assert (bench.rings, bench.acked) == (rings, [])


async def test_who_waits_for_the_lock_asks_for_the_partition(bench: Bench) -> None:
    await bench.arrives("h", HIGH)
    await eventually(lambda: bench.asks == 1)
    assert bench.rings == 1, "the token came first"
    await bench.arrives("n", NORMAL)
    assert bench.run == ["h", "n"]


async def test_who_keeps_a_settled_message_as_the_lock_asks_for_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASK_AFTER", 0.0)
    monkeypatch.setattr(module, "RING_AGAIN", 0.0)
    await bench.arrives("n", NORMAL)
    await bench.arrives("h", HIGH)
    await bench.ends("n")
    await eventually(lambda: bench.rings > 1)
    assert bench.asks == 0
