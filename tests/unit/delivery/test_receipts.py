"""Receipts are joined to replies, and each accepted call ends as what became of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from bridge.broker.batches import KEPT, Batches, TooMany
from bridge.delivery import join as joining, receipts as working
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.delivery.join import Held, Join
from bridge.errors import BrokerUnavailable, MessageTooLarge, RejectedDeliveryError
from bridge.http.client import Response
from bridge.messages import Reply
from bridge.messages.receipts import Note, Outcome, Receipt
from tests.support.fakes import a_delivery, a_reply
from tests.support.system import longer
from tests.support.waiting import PATIENCE, eventually
from tests.unit.delivery.receipt_world import INCOMING, World

REPLIES = longer(1_000, 10_000)
TEMPLATE = {"name": "come_back", "language": {"code": "en"}}


def a_call(n: int | str = 0, **changes: object) -> Reply:
    return a_reply(f"e{n}:0", channel="whatsapp", recipient_id=f"u{n}", **changes)


def told(id: str, outcome: Outcome, code: str | None = None, at: float | None = None) -> Receipt:
    return Receipt(id, outcome, at or time.time(), code)


def outcomes(kind: str) -> float:
    labels = {"channel": "whatsapp", "outcome": kind}
    return REGISTRY.get_sample_value("rasa_bridge_reply_outcomes_total", labels) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition without a pause: most of what it waits for needs no time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.start()
    yield world
    await world.kill()


async def test_a_delivered_reply_is_reported_with_its_ids_and_settled(world: World) -> None:
    before = outcomes("delivered")
    await world.sent(a_call(), "w1")
    await world.receive(told("w1", "sent"), told("w1", "delivered"), told("w1", "read"))
    await until(lambda: not world.unacked)
    assert world.reported() == [(o, "w1", "e0:0") for o in ("sent", "delivered", "read")]
    report = world.reports[1]["receipts"][0]
    assert (report["conversation"], report["in_reply_to"]) == ("u0", "e0")
    assert outcomes("delivered") == before + 1
    assert not world.dead


async def test_a_receipt_that_is_earlier_than_its_note_waits_for_it(world: World) -> None:
    await world.receive(told("w1", "failed", "131026"))
    await until(lambda: world.join._early != {})
    assert not world.reports
    await world.sent(a_call(), "w1")
    await until(lambda: not world.unacked)
    assert [reply.text for reply in world.dead] == ["hi"]


async def test_a_late_failure_is_a_dead_letter_that_can_be_replayed(world: World) -> None:
    reply = a_call(text="your code is 7")
    await world.sent(reply, "w1")
    await world.receive(told("w1", "failed", "131026"))
    await until(lambda: not world.unacked)
    (dead,), (headers,) = world.dead, world.headers
    assert (dead.recipient_id, dead.text) == (reply.recipient_id, reply.text)
    assert dead.identity != reply.identity, "deliver would take it for the delivered one"
    assert headers["x-bridge-reason"] == "undelivered"
    assert "131026" in headers["x-bridge-error"]
    assert headers["x-bridge-channel"] == "whatsapp"


async def test_a_failure_that_is_reported_twice_has_one_effect(world: World) -> None:
    await world.sent(a_call(), "w1")
    await world.receive(told("w1", "failed", "1"), told("w1", "failed", "1"))
    await until(lambda: not world.unacked)
    await world.receive(told("w1", "failed", "1"))
    await until(lambda: not world.unacked)
    assert len(world.dead) == len(world.reported()) == 1


async def test_a_closed_window_sends_one_template_per_turn_instead() -> None:
    world = World(template=TEMPLATE)
    world.start()
    first, second = a_call(), a_reply("e0:1", channel="whatsapp", recipient_id="u0", text="more")
    await world.sent(first, "w1")
    await world.sent(second, "w2")
    await world.receive(told("w1", "failed", "131047"), told("w2", "failed", "131047"))
    await until(lambda: not world.unacked)
    (template,) = world.templates
    assert (template.kind, template.recipient_id) == ("custom", "u0")
    assert template.content == {"type": "template", "template": TEMPLATE}
    assert not world.dead
    await world.sent(template, "w3")
    await world.receive(told("w3", "failed", "131047"))
    await until(lambda: not world.unacked)
    assert [reply.id.partition("~")[0] for reply in world.dead] == [template.id], "no loop"
    await world.kill()


@pytest.mark.parametrize(("code", "is_replaced"), [(131047, True), (131026, False)])
async def test_a_window_that_is_closed_at_once_has_the_same_effect(
    code: int, is_replaced: bool
) -> None:
    class Http:
        async def post_json(self, *args: object, check: Any, **how: object) -> None:
            check(Response(400, {}, b'{"error": {"code": %d}}' % code))

    world = World(template=TEMPLATE)
    http: Any = Http()
    dispatcher = Dispatcher(world.connector, http, CircuitBreaker("whatsapp"))
    dispatcher.notes = world.notes
    if is_replaced:
        await dispatcher.deliver(a_call())
    else:
        with pytest.raises(RejectedDeliveryError):
            await dispatcher.deliver(a_call())
    assert [t.content["type"] for t in world.templates] == ["template"] * is_replaced


async def test_without_a_template_a_closed_window_is_a_dead_letter(world: World) -> None:
    await world.sent(a_call(), "w1")
    await world.receive(told("w1", "failed", "131047"))
    await until(lambda: not world.unacked)
    assert len(world.dead) == 1


async def test_the_assistant_is_told_in_its_conversation_and_not_of_its_answer() -> None:
    world = World(intents={"failed": "message_failed"})
    world.start()
    await world.sent(a_call(), "w1")
    await world.receive(told("w1", "failed", "131026"))
    await until(lambda: not world.unacked)
    (message,) = world.told
    assert message["sender_id"] == "u0"
    assert message["text"].startswith('/message_failed{"reply_id": "e0:0"')
    answer = a_reply(f"{message['id']}:0", channel="whatsapp", in_reply_to=message["id"])
    await world.sent(answer, "w2")
    await world.receive(told("w2", "failed", "131026"))
    await until(lambda: not world.unacked)
    assert len(world.told) == 1, "the assistant would answer for ever"
    await world.kill()


async def test_receipts_of_unknown_messages_are_reported_once_they_are_overdue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = outcomes("unmatched")
    await world.receive(told("other", "delivered"), told("", "read"))
    await until(lambda: world.reported() == [("read", "", None)])
    monkeypatch.setattr(joining, "EARLY_FOR", 0.0)
    await world.receive(told("", "read"))  # any delivery looks at what is overdue
    await until(lambda: not world.unacked)
    assert ("delivered", "other", None) in world.reported()
    assert outcomes("unmatched") == before + 3


async def test_a_call_without_a_receipt_is_forgotten_and_counted() -> None:
    world = World(keep=0.0)
    world.start()
    before = outcomes("unreported")
    await world.sent(a_call(), "w1")
    await until(lambda: not world.unacked)
    assert outcomes("unreported") == before + 1
    assert len(world.join) == 0
    await world.kill()


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(joining, "MOST_NOTES", 10)
    monkeypatch.setattr(joining, "MOST_EARLY", 10)
    monkeypatch.setattr(joining, "MOST_FINAL", 10)
    for n in range(30):
        await world.sent(a_call(n), f"w{n}")
        await world.receive(told(f"x{n}", "sent"))
    await until(lambda: len(world.join) == 10 and len(world.join._early) == 10)
    await world.receive(*(told(f"w{n}", "delivered") for n in range(20, 30)))
    await until(lambda: len(world.join) == 0)
    assert len(world.join._final) == 10


async def test_a_few_deliveries_hold_many_calls(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr(working, "MOST_HELD", 20)
    for n in range(120):
        await world.sent(a_call(n), f"w{n}")
        await world.receive(told(f"early{n}", "delivered"))
    await until(lambda: len(world.unacked) <= 20 and len(world.join) == 120)
    assert world.most_held < 60
    await world.receive(*(told(f"w{n}", "failed", "1") for n in range(120)))
    await until(lambda: len(world.dead) == 120)
    for n in range(120):
        await world.sent(a_call(f"-{n}"), f"early{n}")
    await until(lambda: not world.unacked)


def test_only_what_a_delivery_still_holds_is_written_again() -> None:
    join = Join(keep=60.0)
    old, new = (Held(a_delivery(b""), now=0.0) for _ in range(2))

    def note(id: str, sent_at: float = 100.0) -> Note:
        return Note(id, "u", f"{id}:0", id, sent_at, a_call(id))

    list(join.receipt(told("early", "delivered"), old, 0.0))
    list(join.receipt(told("waiting", "delivered"), old, 0.0))
    for id in ("forgotten", "decided", "copied", "kept", "early"):
        list(join.note(note(id, 0.0 if id == "forgotten" else 100.0), old))
    list(join.receipt(told("decided", "delivered"), new, 0.0))
    list(join.note(note("copied"), new))
    list(join.overdue(now=0.0, clock=100.0))

    notes, receipts = join.held_by([old])
    assert [note.provider_id for note in notes] == ["kept"]
    assert [receipt.provider_id for receipt in receipts] == ["waiting"]
    assert list(join.released([old])) == [old, old]
    assert join.held_by([old]) == ([], [])
    assert [note.provider_id for note in join.held_by([new])[0]] == ["copied"]


async def test_a_body_that_is_no_batch_stops_nothing(world: World) -> None:
    await world.publish(INCOMING, "whatsapp", b"{")
    await world.publish(INCOMING, "whatsapp", b'{"receipts": [{"v": 1}]}')
    await world.sent(a_call(), "w1")
    await world.receive(told("w1", "delivered"))
    await until(lambda: not world.unacked)
    assert world.reported() == [("delivered", "w1", "e0:0")]


async def test_of_many_replies_each_ends_as_what_became_of_it_despite_kills() -> None:
    """The consumer is killed at random moments, receipts come in any order and some twice."""
    chance = random.Random(7)
    world = World(template=TEMPLATE)
    world.start()
    fate: dict[int, Receipt] = {}
    for n in range(REPLIES):
        outcome: Outcome = "failed" if chance.random() < 0.05 else "delivered"
        code = chance.choice(["131026", "131047"]) if outcome == "failed" else None
        fate[n] = told(f"w{n}", outcome, code)
    events: list[Reply | Receipt] = [a_call(n) for n in fate]
    events += [*fate.values(), *(told(f"w{n}", "sent") for n in fate)]
    events += chance.sample(list(fate.values()), REPLIES // 20)
    chance.shuffle(events)
    kills = 0
    for start in range(0, len(events), 50):
        puts = (
            world.receive(e) if isinstance(e, Receipt) else world.sent(e, f"w{e.in_reply_to[1:]}")
            for e in events[start : start + 50]
        )
        await asyncio.gather(*puts)
        if chance.random() < 0.2:
            kills += 1
            await world.kill()
            world.start()
    assert kills > 5
    delivered = {n for n in fate if fate[n].outcome == "delivered"}
    closed = {n for n in fate if fate[n].code == "131047"}

    await until(lambda: len(world.delivered) + len(world.failed) >= len(fate))
    assert world.delivered == {f"e{n}:0" for n in delivered}
    assert {r.in_reply_to for r in world.templates} == {f"e{n}" for n in closed}
    failed = {f"e{n}" for n in fate} - {f"e{n}" for n in delivered | closed}
    assert {r.in_reply_to for r in world.dead} == failed
    await world.kill()


async def test_what_arrives_during_a_publish_goes_out_together() -> None:
    published: list[list[bytes]] = []

    async def publish(items: object) -> None:
        await asyncio.sleep(0)
        published.append(list(items))  # type: ignore[call-overload]

    batches = Batches(publish)
    await asyncio.gather(*(batches.put([b"%d" % n]) for n in range(401)))
    assert [len(batch) for batch in published] == [200, 200, 1]
    assert [item for batch in published for item in batch] == [b"%d" % n for n in range(401)]
    await batches.put([b"x" * 200_000, b"y" * 200_000])
    assert len(published) == 5, "a batch is limited in bytes, too"


async def test_items_whose_publish_failed_are_published_later(world: World) -> None:
    world.errors.append(BrokerUnavailable("no confirm within 5 s"))
    with pytest.raises(BrokerUnavailable):
        await world.receive(told("w1", "delivered"))
    await asyncio.wait_for(world.sent(a_call(), "w1"), 5)  # a reply does not wait for its note
    await eventually(lambda: world.reported() == [("delivered", "w1", "e0:0")])
    await until(lambda: not world.unacked)


async def test_a_failed_publish_fails_everyone_who_waits(world: World) -> None:
    world.errors.append(BrokerUnavailable("no confirm within 5 s"))
    puts = [world.receive(told(f"w{n}", "sent")) for n in range(450)]
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert all(isinstance(result, BrokerUnavailable) for result in results), "no request hangs"
    for n in range(450):
        await world.sent(a_call(n), f"w{n}")
    await eventually(lambda: len({id for _, id, _ in world.reported()}) == 450)


async def test_an_item_that_is_too_large_is_dropped_and_the_next_one_is_not(world: World) -> None:
    world.errors.append(MessageTooLarge("20 MB"))
    before = REGISTRY.get_sample_value("rasa_bridge_notes_lost_total", {"channel": "whatsapp"})
    await world.sent(a_call(1), "w1")
    after = REGISTRY.get_sample_value("rasa_bridge_notes_lost_total", {"channel": "whatsapp"})
    assert after == (before or 0) + 1
    assert not world.unacked


async def test_too_many_waiting_items_are_refused() -> None:
    async def publish(items: object) -> None:
        await asyncio.Event().wait()

    batches = Batches(publish)
    waiting = asyncio.ensure_future(batches.put([b""] * KEPT))
    await asyncio.sleep(0)
    with pytest.raises(TooMany):
        await batches.put([b""])
    waiting.cancel()
