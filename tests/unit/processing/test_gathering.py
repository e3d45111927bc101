"""Several messages of a lane as one turn: when it starts, what it has, and how each is settled."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from bridge.errors import RejectedDeliveryError
from bridge.messages import InboundMessage, TurnPolicy
from bridge.runtime import work
from bridge.telemetry import metrics
from bridge.telemetry.trace.recorder import process_hops
from tests.support.fakes import a_delivery, an_inbound
from tests.support.hops import hops_in
from tests.support.virtual_time import virtually
from tests.unit.processing.test_processor import Bench

COLLECT = TurnPolicy("collect", quiet=1.5, max_wait=6.0)


def said(id: str, policy: TurnPolicy | None = COLLECT, **changes: Any) -> InboundMessage:
    return an_inbound(id, turns=policy, text=id, **changes)


class Turns(Bench):
    """A bench that says how long ago each turn started."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.began = self.now()
        self.started: list[tuple[float, str]] = []
        self.texts: list[str] = []
        """Of the turns that ended."""

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()

    async def _handle(self, message: Any) -> None:
        self.started.append((round(self.now() - self.began, 1), message.text))
        await super()._handle(message)

    def say(self, *ids: str, policy: TurnPolicy | None = COLLECT, **changes: Any) -> None:
        for id in ids:
            self.generation.admit(a_delivery(said(id, policy, **changes), self.journal))


@virtually
async def test_three_messages_become_one_turn_and_each_is_acked_after_it() -> None:
    bench = Turns()
    bench.say("a")
    await asyncio.sleep(1)
    bench.say("b")
    await asyncio.sleep(1)
    bench.say("c")
    await asyncio.sleep(2)
    assert bench.started == [(3.5, "a\nb\nc")]
    assert [part.id for part in bench.handled[0].parts] == ["a", "b", "c"]
    assert bench.ids("acked") == ["a", "b", "c"]
    assert bench.journal.index(("handled", "c")) < bench.journal.index(("acked", "a"))
    assert not bench.generation.lanes()
    bench.say("b")
    await asyncio.sleep(9)
    assert len(bench.started) == 1, "each of them is known"
    assert bench.ids("acked") == ["a", "b", "c", "b"]


@virtually
async def test_the_trace_names_the_turn_that_a_message_joined() -> None:
    process_hops.on(1)
    bench = Turns()
    bench.say("a", "b")
    await asyncio.sleep(2)
    hops = [(hop.kind, hop.id, hop.what) for hop in hops_in()]
    process_hops.on(-1)
    assert [hop for hop in hops if hop[0] != "settled"] == [
        ("attempt", "b", ""),
        ("joined", "a", "b"),
    ]


@virtually
async def test_a_lone_message_waits_for_quiet_and_none_longer_than_the_limit() -> None:
    bench = Turns()
    bench.say("a")
    for number in range(7):
        await asyncio.sleep(1)
        bench.say(f"b{number}")
    await asyncio.sleep(9)
    assert [at for at, _ in bench.started] == [6.0, 8.5]
    lone = Turns()
    lone.say("x", sender_id="bob")
    await asyncio.sleep(9)
    assert lone.started == [(1.5, "x")]


@virtually
async def test_what_arrives_during_a_turn_is_collected_without_a_further_wait() -> None:
    bench, gate = Turns(), asyncio.Event()
    bench.plans["a"] = [gate]
    bench.say("a")
    await asyncio.sleep(2)
    bench.say("b", "c")
    await asyncio.sleep(5)
    gate.set()
    await asyncio.sleep(0.1)
    assert bench.started == [(1.5, "a"), (7.0, "b\nc")]


@virtually
async def test_a_button_flushes_and_runs_alone() -> None:
    bench = Turns()
    bench.say("a", "b")
    bench.say("/go", policy=None)
    bench.say("c")
    await asyncio.sleep(3)
    assert bench.started == [(0.0, "a\nb"), (0.0, "/go"), (1.5, "c")]


@virtually
async def test_a_waiting_lane_holds_no_slot_and_a_drain_does_not_wait_for_it() -> None:
    bench = Turns(concurrency=1)
    bench.say("a")
    bench.say("x", policy=None, sender_id="bob")
    await asyncio.sleep(0.1)
    assert [text for _, text in bench.started] == ["x"]
    assert bench.processor.report().quiet == 1
    assert await bench.generation.drain(0.01)
    assert len(bench.started) == 1
    assert bench.ids("acked") == ["x"]


@virtually
async def test_a_turn_that_fails_for_good_is_one_dead_letter_per_message() -> None:
    bench = Turns()
    bench.plans["b"] = [RejectedDeliveryError("no")]
    bench.say("a", "b")
    await asyncio.sleep(2)
    headers = [letter.properties["headers"] for letter in bench.dead]
    assert [header["x-bridge-id"] for header in headers] == ["a", "b"]
    assert {header["x-bridge-group"] for header in headers} == {"b"}
    assert bench.ids("acked") == ["a", "b"]
    assert len(bench.started) == 1
    bench.say("b")
    await asyncio.sleep(2)
    assert [text for _, text in bench.started] == ["a\nb", "b"], "a replayed one runs again"


@virtually
async def test_a_turn_that_fails_is_tried_again_with_the_same_messages() -> None:
    bench, gate = Turns(), asyncio.Event()
    bench.plans["b"] = [ValueError(), gate]
    bench.say("a", "b")
    await asyncio.sleep(2)
    bench.say("c")
    await asyncio.sleep(2)
    gate.set()
    await asyncio.sleep(5)
    texts = [text for _, text in bench.started]
    assert texts == ["a\nb", "a\nb", "c"]


@virtually
async def test_a_quarantined_message_runs_alone() -> None:
    bench = Turns()
    for id, count in (("a", 0), ("b", 3), ("c", 0)):
        bench.generation.admit(
            a_delivery(said(id), bench.journal, delivery_count=count, redelivered=bool(count))
        )
    assert bench.generation.attempts.gathering is bench.generation.gathering
    lane = bench.generation._lanes.get("ada")
    assert lane is not None
    await asyncio.sleep(0)
    delivery, head = a_delivery(said("a")), said("a")
    group = bench.generation.gathering._group(
        delivery, head, bench.generation.gathering._behind(delivery, head)
    )
    assert ([member.id for member in group.messages], group.is_closed) == (["a"], True)
    await bench.generation.cancel()


@virtually
async def test_a_full_window_starts_the_turns_that_wait_the_oldest_first() -> None:
    bench = Turns()
    for name in ("ada", "bob", "cyd"):
        bench.say(f"{name}1", f"{name}2", sender_id=name)
    await asyncio.sleep(0)
    bench.generation.gathering.hurry("bridge.inbound.07", 3)
    await asyncio.sleep(0.1)
    assert bench.started == [(0.0, "ada1\nada2"), (0.0, "bob1\nbob2")]
    await asyncio.sleep(2)
    assert bench.started[2:] == [(1.5, "cyd1\ncyd2")]


@virtually
async def test_the_newest_message_supersedes_what_waits() -> None:
    bench, gate = Turns(), asyncio.Event()
    bench.plans["a"] = [gate]
    latest = TurnPolicy("latest", quiet=0.0)
    bench.say("a", "b", "c", policy=latest)
    await asyncio.sleep(0.1)
    assert bench.started == [(0.0, "c")], "nothing ran yet, so the first ones are old already"
    bench.plans["d"] = [gate]
    bench.say("d", policy=latest)
    await asyncio.sleep(0.1)
    bench.say("e", "f", policy=latest)
    gate.set()
    await asyncio.sleep(0.1)
    assert [text for _, text in bench.started] == ["c", "d", "f"]
    assert bench.ids("acked") == ["a", "b", "c", "d", "e", "f"]


@virtually
async def test_a_repeated_message_supersedes_nothing() -> None:
    bench = Turns()
    latest = TurnPolicy("latest", quiet=0.0)
    bench.say("a", policy=latest)
    await asyncio.sleep(0.1)
    bench.say("b", "b", "a", policy=latest)
    await asyncio.sleep(0.1)
    assert [text for _, text in bench.started] == ["a", "b"]
    assert bench.ids("acked") == ["a", "b", "b", "a"]


INTERRUPT = TurnPolicy("interrupt", quiet=0.5, max_wait=2.0)


@virtually
async def test_a_new_message_interrupts_the_turn_which_starts_again_with_both() -> None:
    bench = Turns()
    bench.plans["a"] = [asyncio.Event()]
    bench.say("a", policy=INTERRUPT)
    await asyncio.sleep(1)
    assert bench.running == {"a"}
    bench.say("b", policy=INTERRUPT)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not bench.running, "at once"
    await asyncio.sleep(1)
    assert bench.started == [(0.5, "a"), (1.5, "a\nb")]
    assert bench.ids("acked") == ["a", "b"]


@virtually
async def test_a_repeated_message_a_button_and_a_full_turn_interrupt_nothing() -> None:
    bench, gate = Turns(), asyncio.Event()
    policy = TurnPolicy("interrupt", quiet=0.1, max_messages=2)
    bench.plans["b"] = [gate]
    bench.say("a", "b", policy=policy)
    await asyncio.sleep(1)
    bench.say("a", policy=policy)
    bench.say("/go", policy=None)
    bench.say("c", policy=policy)
    await asyncio.sleep(1)
    assert bench.running == {"b"}
    gate.set()
    await asyncio.sleep(1)
    assert [text for _, text in bench.started] == ["a\nb", "/go", "c"]


@virtually
async def test_nothing_interrupts_a_turn_past_the_point_of_no_return() -> None:
    bench, gate = Turns(), asyncio.Event()
    handle = bench.processor.handle

    async def seals(message: Any) -> None:
        work.seal()
        await handle(message)

    bench.processor.handle = seals
    bench.plans["a"] = [gate]
    bench.say("a", policy=INTERRUPT)
    await asyncio.sleep(1)
    bench.say("b", policy=INTERRUPT)
    await asyncio.sleep(1)
    assert bench.running == {"a"}
    gate.set()
    await asyncio.sleep(1)
    assert [text for _, text in bench.started] == ["a", "b"]


class PartlyKnown(Turns):
    """A bench whose tracker store has the message `a` already; the rest of its turn fails."""

    async def _handle(self, message: Any) -> None:
        work.note_known({"a"})
        raise RejectedDeliveryError("no")


@virtually
@pytest.mark.parametrize("ids", ["ab", "ba"])
async def test_a_message_of_a_saved_turn_does_not_fail_with_another_one(ids: str) -> None:
    bench = PartlyKnown()
    bench.say(*ids)
    await asyncio.sleep(2)
    assert [dead.properties["message_id"] for dead in bench.dead] == ["b"]
    assert bench.ids("acked") == list(ids)
    assert bench.of("a")[0] == "finished None"


@virtually
async def test_a_drain_settles_all_messages_of_the_turn_that_ends_in_it() -> None:
    bench, gate = Turns(), asyncio.Event()
    bench.plans["b"] = [gate]
    bench.say("a", "b")
    await asyncio.sleep(2)
    bench.say("c")
    drain = asyncio.ensure_future(bench.generation.drain(5))
    await asyncio.sleep(0.1)
    gate.set()
    assert await drain
    assert bench.ids("acked") == ["a", "b"], "c has not run"


@virtually
async def test_a_drain_of_an_interrupted_turn_settles_nothing() -> None:
    bench = Turns()
    bench.plans["a"] = [asyncio.Event()]
    bench.say("a", policy=INTERRUPT)
    await asyncio.sleep(1)
    bench.say("b", policy=INTERRUPT)
    await bench.generation.cancel()
    assert not bench.running
    assert not bench.ids("acked")


@virtually
async def test_a_copy_of_a_failed_message_runs_before_the_others_are_dead_lettered() -> None:
    bench, gate = Turns(), asyncio.Event()
    handle = bench.processor.handle

    async def fails_once(message: Any) -> None:
        await handle(message)
        if not gate.is_set():
            await gate.wait()
            raise RejectedDeliveryError("no")

    bench.processor.handle = fails_once
    bench.say("a", "a", "b")
    await asyncio.sleep(2)
    bench.say("c")
    gate.set()
    await asyncio.sleep(9)
    dead = [letter.properties["headers"]["x-bridge-id"] for letter in bench.dead]
    assert [text for _, text in bench.started] == ["a\nb", "a", "c"]
    assert dead == ["a", "b"], "b is in no other turn"


@virtually
async def test_the_trace_tells_an_interrupted_attempt_from_a_failed_one() -> None:
    process_hops.on(1)
    bench = Turns()
    bench.plans["a"] = [asyncio.Event()]
    bench.say("a", policy=INTERRUPT)
    await asyncio.sleep(1)
    bench.say("b", policy=INTERRUPT)
    await asyncio.sleep(2)
    hops = [(hop.kind, hop.id, hop.what) for hop in hops_in()]
    process_hops.on(-1)
    assert [hop for hop in hops if hop[0] != "settled"] == [
        ("attempt", "a", ""),
        ("held", "a", "Interrupted"),
        ("attempt", "b", ""),
        ("joined", "a", "b"),
    ]


@virtually
async def test_a_turn_that_swallows_its_interruption_ends_by_itself() -> None:
    bench = Turns()
    tasks: list[asyncio.Task[Any]] = []

    async def swallows(message: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        bench.started.append((round(bench.now() - bench.began, 1), message.text))
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    bench.processor.handle = swallows
    bench.say("a", policy=INTERRUPT)
    await asyncio.sleep(1)
    bench.say("b", policy=INTERRUPT)
    await asyncio.sleep(5)
    assert bench.started == [(0.5, "a"), (2.0, "b")]
    assert bench.ids("acked") == ["a", "b"]
    left = getattr(tasks[0], "cancelling", int)  # of Python 3.11
    assert not left(), "no cancellation is left for the messages that follow"


@virtually
async def test_a_storm_of_messages_interrupts_a_turn_until_it_is_full() -> None:
    bench = Turns()
    bench.processor.handle = lambda message: _takes(bench, message, 3.0)
    policy = TurnPolicy("interrupt", quiet=0.5, max_wait=2.0, max_messages=20)
    for number in range(600):
        bench.say(f"m{number:03}", policy=policy)
        await asyncio.sleep(0.1)
    await asyncio.sleep(120)
    handled = [text.split() for text in bench.texts]
    assert [id for turn in handled for id in turn] == [f"m{n:03}" for n in range(600)]
    assert max(map(len, handled)) == 20
    assert bench.ids("acked") == [f"m{n:03}" for n in range(600)]


async def _takes(bench: Turns, message: Any, seconds: float) -> None:
    await asyncio.sleep(seconds)
    bench.texts.append(message.text)


@virtually
async def test_a_turn_counts_once_however_often_it_starts() -> None:
    bench = Turns()
    counted = metrics.turn_messages.labels("callback")
    before = counted._sum.get(), sum(bucket.get() for bucket in counted._buckets)
    bench.plans["b"] = [ValueError()]
    bench.say("a", "b")
    await asyncio.sleep(4)
    after = counted._sum.get(), sum(bucket.get() for bucket in counted._buckets)
    assert len(bench.started) == 2
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)
