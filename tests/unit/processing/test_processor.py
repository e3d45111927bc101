"""Every row of the table in `bridge.processing.generation`: how and when a message is settled.

The real queues run on a fake publisher. Deliveries are of the real class; their ack writes to the
same journal as handling and publishing, so tests can check the order of all three.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable
from typing import Any

import pytest

from bridge.errors import (
    BrokerUnavailable,
    MessageError,
    PublishRefused,
    RejectedDeliveryError,
    RetryableDeliveryError,
)
from bridge.messages import InboundMessage, Reply, encode
from bridge.processing.gate import Gate, HeldBack
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import (
    FakePublisher,
    Journal,
    Published,
    a_delivery,
    a_reply,
    an_inbound,
    quiet,
)

AT_ONCE = RetryPolicy(base=0.0, cap=0.0, max_attempts=3, max_age=3600.0)
DEAD = "published to bridge.dead"
LONG = 1000.0
"""Seconds; no test waits that long."""


class Bench:
    """A processor whose handler does what the test plans for each id."""

    def __init__(
        self,
        *,
        kind: type[Any] = InboundMessage,
        concurrency: int = 16,
        policy: RetryPolicy = AT_ONCE,
        gate: Gate | None = None,
    ) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.plans: dict[str, list[Exception | asyncio.Event]] = {}
        """What the next attempts at an id do: raise or wait. Later attempts succeed."""
        self.handled: list[Any] = []
        self.running: set[str] = set()
        self.most_running = 0
        self.processor: Processor[Any] = Processor(
            kind,
            self._handle,
            self.publisher.queues(),
            concurrency=concurrency,
            policy=policy,
            gate=gate,
            finished=self._finished,
        )
        self.generation: ProcessorGeneration[Any] = self.processor.open()

    async def _handle(self, message: Any) -> None:
        self.journal.append(("attempt", message.id))
        logging.getLogger("worker").info("runs")
        self.running.add(message.id)
        self.most_running = max(self.most_running, len(self.running))
        try:
            plan = self.plans.get(message.id)
            step = plan.pop(0) if plan else None
            if isinstance(step, Exception):
                raise step
            if step is not None:
                await step.wait()
            self.handled.append(message)
            self.journal.append(("handled", message.id))
        finally:
            self.running.discard(message.id)

    async def _finished(self, message: Any, error: str | None) -> None:
        await asyncio.sleep(0)
        self.journal.append((f"finished {error}", message.id))

    def admit(self, message: Any, **changes: Any) -> None:
        self.generation.admit(a_delivery(message, self.journal, **changes))

    def of(self, id: str) -> list[str]:
        """Return what happened to one message, in order."""
        return [what for what, of_id in self.journal if of_id == id]

    def ids(self, what: str) -> list[str]:
        return [id for happened, id in self.journal if happened == what]

    @property
    def dead(self) -> list[Published]:
        return [p for p in self.publisher.published if p.exchange == "bridge.dead"]


class ManualGate:
    """A gate that the test opens and closes."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.probes: asyncio.Queue[None] = asyncio.Queue()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    held_back: HeldBack | None = None
    accepted_at = float("inf")

    def try_now(self) -> None:
        self.probes.put_nowait(None)

    async def passage(self, lane: Hashable) -> None:
        probe = asyncio.ensure_future(self.probes.get())
        opened = asyncio.ensure_future(self._open.wait())
        try:
            await asyncio.wait({probe, opened}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probe.cancel()
            opened.cancel()

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()


@pytest.fixture(autouse=True)
def _no_pause_between_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)


# handled


async def test_a_handled_message_is_acked_once_and_last() -> None:
    bench = Bench()
    bench.admit(an_inbound("e1"))
    await quiet()
    assert bench.of("e1") == ["attempt", "handled", "finished None", "acked"]
    assert not bench.publisher.published


async def test_the_ack_waits_for_the_handler() -> None:
    bench = Bench()
    may_end = asyncio.Event()
    bench.plans["e1"] = [may_end]
    bench.admit(an_inbound("e1"))
    await quiet()
    assert bench.of("e1") == ["attempt"]
    may_end.set()
    await quiet()
    assert bench.of("e1") == ["attempt", "handled", "finished None", "acked"]


async def test_the_handler_gets_the_message_unchanged() -> None:
    bench = Bench()
    message = an_inbound("e1", metadata={"a": [1]}, route={"thread": "7"})
    bench.admit(message)
    await quiet()
    assert bench.handled == [message]


@pytest.mark.parametrize(("kind", "make"), [(Reply, a_reply), (InboundMessage, an_inbound)])
async def test_a_redelivered_message_is_marked_as_redelivered(kind: Any, make: Any) -> None:
    bench = Bench(kind=kind)
    bench.admit(make("e1"))
    bench.admit(make("e2"), redelivered=True)
    await quiet()
    assert [(m.id, m.redelivered) for m in bench.handled] == [("e1", False), ("e2", True)]


async def test_a_reply_with_a_completed_id_and_another_content_is_handled() -> None:
    bench = Bench(kind=Reply)
    for text in ("hi", "hello", "hi"):
        bench.admit(a_reply("e1:0", text=text))
    await quiet()
    assert [reply.text for reply in bench.handled] == ["hi", "hello"]


async def test_messages_of_a_conversation_are_handled_in_order() -> None:
    bench = Bench()
    for n in range(20):
        bench.admit(an_inbound(f"e{n}", sender_id="ada" if n % 2 else "bob"))
    await quiet()
    for remainder in (0, 1):
        order = [id for id in bench.ids("handled") if int(id[1:]) % 2 == remainder]
        assert order == [f"e{n}" for n in range(remainder, 20, 2)]


# completed before


async def test_a_repeated_id_is_acked_and_not_handled_again() -> None:
    bench = Bench()
    bench.admit(an_inbound("e1"))
    bench.admit(an_inbound("e1", text="the provider sends it again"))
    await quiet()
    assert bench.ids("handled") == ["e1"]
    assert bench.of("e1")[-2:] == ["finished None", "acked"]
    assert len(bench.ids("acked")) == 2


async def test_the_next_generation_recognises_a_repeated_id() -> None:
    bench = Bench()
    bench.admit(an_inbound("e1"))
    await quiet()
    await bench.generation.cancel()
    bench.generation = bench.processor.open()
    bench.admit(an_inbound("e1"), redelivered=True)
    await quiet()
    assert bench.ids("handled") == ["e1"]
    assert len(bench.ids("acked")) == 2


async def test_the_same_id_in_another_conversation_is_handled() -> None:
    bench = Bench()
    bench.admit(an_inbound("1", sender_id="ada"))
    bench.admit(an_inbound("1", sender_id="bob"))
    await quiet()
    assert [m.sender_id for m in bench.handled] == ["ada", "bob"]
    assert len(bench.ids("acked")) == 2


async def test_the_same_id_on_another_channel_is_handled() -> None:
    bench = Bench()
    bench.admit(an_inbound("1", channel="slack"))
    bench.admit(an_inbound("1", channel="telegram"))
    await quiet()
    assert [m.channel for m in bench.handled] == ["slack", "telegram"]


async def test_a_replayed_dead_letter_is_handled() -> None:
    bench = Bench()
    bench.plans["e1"] = [RejectedDeliveryError("HTTP 400")]
    bench.admit(an_inbound("e1"))
    await quiet()
    bench.admit(an_inbound("e1"))
    await quiet()
    assert bench.ids("handled") == ["e1"]


# undecodable


@pytest.mark.parametrize("body", [b"not json", b"\xff\x00", b"", b'{"id": "e1"}'])
async def test_an_undecodable_message_is_dead_lettered_with_its_raw_body_then_acked(
    body: bytes,
) -> None:
    bench = Bench()
    bench.admit(body, message_id="e1", kind="inbound")
    await quiet()
    assert bench.of("e1") == [DEAD, "acked"]
    (letter,) = bench.dead
    assert letter.body == body
    assert letter.routing_key == "inbound"
    assert letter.properties["kind"] == "inbound"
    headers = letter.properties["headers"]
    assert headers["x-bridge-reason"] == "undecodable"
    assert headers["x-bridge-error"].startswith("MessageError: ")
    assert headers["x-bridge-attempts"] == 0


async def test_an_undecodable_message_without_properties_is_dead_lettered() -> None:
    bench = Bench()
    bench.admit(b"?", message_id=None, kind=None)
    await quiet()
    assert [p.properties["kind"] for p in bench.dead] == ["inbound"]
    assert len(bench.ids("acked")) == 1


async def test_an_undecodable_message_does_not_delay_other_messages() -> None:
    bench = Bench()
    bench.publisher.down = BrokerUnavailable("gone")
    bench.admit(b"?", message_id="e1")
    bench.admit(an_inbound("e2"))
    await asyncio.wait_for(_until(lambda: bench.ids("acked") == ["e2"]), 30)
    await bench.generation.cancel()


# rejected


@pytest.mark.parametrize(
    "error", [RejectedDeliveryError("HTTP 400"), MessageError("reply cannot be written as JSON")]
)
async def test_a_rejected_message_is_dead_lettered_at_once(error: Exception) -> None:
    bench = Bench(policy=RetryPolicy(base=LONG, max_age=LONG * LONG))
    bench.plans["e1"] = [error]
    bench.admit(an_inbound("e1"))
    await quiet()
    name = type(error).__name__
    assert bench.of("e1") == ["attempt", DEAD, f"finished {name}", "acked"]
    (letter,) = bench.dead
    assert letter.properties["headers"]["x-bridge-reason"] == "rejected"
    assert letter.properties["headers"]["x-bridge-error"] == f"{name}: {error}"
    assert letter.properties["headers"]["x-bridge-attempts"] == 1


# failed


async def test_a_failing_message_is_retried_until_it_is_handled() -> None:
    bench = Bench()
    bench.plans["e1"] = [ValueError("x"), RetryableDeliveryError("HTTP 503")]
    bench.admit(an_inbound("e1"))
    await quiet()
    assert bench.of("e1") == ["attempt"] * 3 + ["handled", "finished None", "acked"]
    assert not bench.dead


async def test_a_message_that_keeps_failing_is_dead_lettered_then_acked() -> None:
    bench = Bench()
    before = time.time()
    message = an_inbound("e1", sender_id="ada", channel="slack")
    bench.plans["e1"] = [ValueError("a"), ValueError("b"), ZeroDivisionError("division by zero")]
    bench.admit(message, queue="bridge.inbound.21")
    await quiet()
    assert bench.of("e1") == ["attempt"] * 3 + [DEAD, "finished ZeroDivisionError", "acked"]
    (letter,) = bench.dead
    assert letter.body == encode(message)
    assert letter.routing_key == "inbound"
    assert letter.properties["kind"] == "inbound"
    headers = letter.properties["headers"]
    times = [headers.pop("x-bridge-first-at"), headers.pop("x-bridge-last-at")]
    assert before <= times[0] <= times[1] <= time.time()
    assert headers == {
        "x-bridge-flow": "inbound",
        "x-bridge-reason": "failed",
        "x-bridge-error": "ZeroDivisionError: division by zero",
        "x-bridge-attempts": 3,
        "x-bridge-queue": "bridge.inbound.21",
        "x-bridge-id": "e1",
        "x-bridge-channel": "slack",
        "x-bridge-conversation": "ada",
    }


async def test_a_dead_reply_goes_to_the_dead_replies_queue_and_names_its_recipient() -> None:
    bench = Bench(kind=Reply)
    bench.plans["e1:0"] = [RejectedDeliveryError("HTTP 404")]
    bench.admit(a_reply("e1:0", recipient_id="bob"))
    await quiet()
    (letter,) = bench.dead
    assert letter.routing_key == "replies"
    assert letter.properties["headers"]["x-bridge-flow"] == "replies"
    assert letter.properties["headers"]["x-bridge-conversation"] == "bob"


async def test_the_lane_continues_after_a_dead_letter() -> None:
    bench = Bench()
    bench.plans["e1"] = [ValueError("x")] * 3
    bench.admit(an_inbound("e1"))
    bench.admit(an_inbound("e2"))
    await quiet()
    assert bench.ids("acked") == ["e1", "e2"]
    assert bench.ids("handled") == ["e2"]


async def test_only_the_failing_conversation_waits() -> None:
    bench = Bench(policy=RetryPolicy(base=0.0, max_age=LONG * 2))
    bench.plans["e1"] = [RetryableDeliveryError("HTTP 429", retry_after=LONG)]
    bench.admit(an_inbound("e1", sender_id="ada"))
    bench.admit(an_inbound("e2", sender_id="ada"))
    for n in range(5):
        bench.admit(an_inbound(f"o{n}", sender_id="bob"))
    await quiet()
    assert bench.of("e1") == ["attempt"]
    assert bench.of("e2") == []
    assert bench.ids("acked") == [f"o{n}" for n in range(5)]
    await bench.generation.cancel()


async def test_a_lane_in_back_off_does_not_hold_a_slot() -> None:
    bench = Bench(concurrency=1, policy=RetryPolicy(base=0.0, max_age=LONG * 2))
    for n in range(3):
        bench.plans[f"f{n}"] = [RetryableDeliveryError("HTTP 429", retry_after=LONG)]
        bench.admit(an_inbound(f"f{n}", sender_id=f"failing {n}"))
    bench.admit(an_inbound("e1", sender_id="ada"))
    await quiet()
    assert bench.ids("acked") == ["e1"]
    await bench.generation.cancel()


async def test_a_lane_that_awaits_the_confirm_of_a_dead_letter_does_not_hold_a_slot() -> None:
    bench = Bench(concurrency=1)
    bench.publisher.down = BrokerUnavailable("gone")
    bench.plans["f0"] = [RejectedDeliveryError("HTTP 400")]
    bench.admit(an_inbound("f0", sender_id="failing"))
    bench.admit(an_inbound("e1", sender_id="ada"))
    await asyncio.wait_for(_until(lambda: bench.ids("acked") == ["e1"]), 30)
    await bench.generation.cancel()


async def test_concurrency_limits_the_messages_handled_at_a_time() -> None:
    bench = Bench(concurrency=3)
    gates = [asyncio.Event() for _ in range(10)]
    for n, gate in enumerate(gates):
        bench.plans[f"e{n}"] = [gate]
        bench.admit(an_inbound(f"e{n}", sender_id=f"user {n}"))
    await quiet()
    assert len(bench.running) == 3
    for gate in gates:
        gate.set()
    await quiet()
    assert len(bench.ids("acked")) == 10
    assert bench.most_running == 3


async def test_lanes_that_stall_after_a_failure_leave_slots_to_the_others() -> None:
    bench = Bench(concurrency=8)
    stalled = asyncio.Event()
    for n in range(20):
        bench.plans[f"bad {n}"] = [RetryableDeliveryError("timeout"), stalled]
        bench.admit(an_inbound(f"bad {n}", sender_id=f"bad {n}"))
    await quiet(1000)
    assert len(bench.running) == 2
    for n in range(20):
        bench.admit(an_inbound(f"good {n}", sender_id=f"good {n}"))
    await quiet(1000)
    assert len(bench.ids("acked")) == 20
    stalled.set()
    await quiet(1000)
    assert len(bench.ids("acked")) == 40


async def test_the_concurrency_limit_holds_across_generations() -> None:
    bench = Bench(concurrency=1)
    may_end = asyncio.Event()
    bench.plans["e1"] = [may_end]
    bench.admit(an_inbound("e1"))
    await quiet()
    bench.generation = bench.processor.open()
    bench.admit(an_inbound("e2"))
    await quiet()
    assert bench.running == {"e1"}
    may_end.set()
    await quiet()
    assert bench.ids("handled") == ["e1", "e2"]


# unconfirmed dead letters


async def test_a_message_is_acked_only_after_its_dead_letter_is_confirmed() -> None:
    bench = Bench()
    bench.publisher.down = BrokerUnavailable("gone")
    bench.plans["e1"] = [RejectedDeliveryError("HTTP 400")]
    bench.admit(an_inbound("e1"))
    await asyncio.wait_for(_until(lambda: bench.publisher.calls > 5), 30)
    assert bench.of("e1") == ["attempt"]
    bench.publisher.down = None
    await asyncio.wait_for(_until(lambda: "acked" in bench.of("e1")), 30)
    assert bench.of("e1") == ["attempt", DEAD, "finished RejectedDeliveryError", "acked"]
    assert len(bench.dead) == 1


@pytest.mark.parametrize("error", [BrokerUnavailable("no confirm"), PublishRefused("full")])
async def test_an_undecodable_message_is_acked_only_after_its_dead_letter_is_confirmed(
    error: Exception,
) -> None:
    bench = Bench()
    bench.publisher.errors = [error] * 3  # type: ignore[list-item]
    bench.admit(b"?", message_id="e1")
    await quiet()
    assert bench.publisher.calls == 4
    assert bench.of("e1") == [DEAD, "acked"]


async def test_drain_does_not_wait_for_an_unconfirmed_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: LONG)
    bench = Bench()
    bench.publisher.down = BrokerUnavailable("gone")
    bench.plans["e1"] = [RejectedDeliveryError("HTTP 400")]
    bench.admit(an_inbound("e1"))
    await quiet()
    assert await bench.generation.drain(grace=LONG) is True
    assert bench.of("e1") == ["attempt"]


# draining and lost connections


async def test_drain_during_a_back_off_settles_nothing_and_starts_nothing() -> None:
    bench = Bench(policy=RetryPolicy(base=0.0, max_age=LONG * 2))
    bench.plans["e1"] = [RetryableDeliveryError("HTTP 429", retry_after=LONG)]
    bench.admit(an_inbound("e1"))
    bench.admit(an_inbound("e2"))
    await quiet()
    assert await bench.generation.drain(grace=LONG) is True
    await quiet()
    assert bench.journal == [("attempt", "e1")]


async def test_drain_lets_running_messages_finish_and_be_acked_and_starts_no_others() -> None:
    bench = Bench()
    may_end = asyncio.Event()
    bench.plans["e1"] = [may_end]
    bench.admit(an_inbound("e1"))
    bench.admit(an_inbound("e2"))
    await quiet()
    draining = asyncio.ensure_future(bench.generation.drain(grace=LONG))
    await quiet()
    assert not draining.done()
    bench.admit(an_inbound("e3", sender_id="bob"))
    may_end.set()
    assert await draining is True
    await quiet()
    assert bench.of("e1") == ["attempt", "handled", "finished None", "acked"]
    assert {id for _, id in bench.journal} == {"e1"}


async def test_drain_does_not_start_messages_that_wait_for_a_slot() -> None:
    bench = Bench(concurrency=1)
    may_end = asyncio.Event()
    bench.plans["e1"] = [may_end]
    bench.admit(an_inbound("e1", sender_id="ada"))
    bench.admit(an_inbound("e2", sender_id="bob"))
    await quiet()
    draining = asyncio.ensure_future(bench.generation.drain(grace=LONG))
    await quiet()
    may_end.set()
    assert await draining is True
    assert bench.ids("acked") == ["e1"]
    assert bench.of("e2") == []


async def test_a_message_that_fails_while_draining_is_left_unsettled() -> None:
    bench = Bench()
    may_fail = asyncio.Event()

    async def handle(message: Any) -> None:
        await may_fail.wait()
        raise ValueError("x")

    bench.processor.handle = handle
    bench.admit(an_inbound("e1"))
    await quiet()
    draining = asyncio.ensure_future(bench.generation.drain(grace=LONG))
    await quiet()
    may_fail.set()
    assert await draining is True
    assert bench.journal == []


async def test_drain_returns_false_if_a_message_still_runs_after_the_grace_period() -> None:
    bench = Bench()
    bench.plans["e1"] = [asyncio.Event()]
    bench.admit(an_inbound("e1"))
    await quiet()
    assert await bench.generation.drain(grace=0) is False
    await bench.generation.cancel()


async def test_after_cancel_nothing_is_acked_or_dead_lettered() -> None:
    bench = Bench(policy=RetryPolicy(base=0.0, max_attempts=3, max_age=LONG * 2))
    may_end = asyncio.Event()
    bench.plans["running"] = [may_end]
    bench.plans["pausing"] = [RetryableDeliveryError("HTTP 429", retry_after=LONG)]
    for id in ("running", "pausing", "waiting"):
        sender = "pausing" if id == "waiting" else id
        bench.admit(an_inbound(id, sender_id=sender))
    await quiet()
    await bench.generation.cancel()
    may_end.set()
    bench.admit(an_inbound("late", sender_id="late"))
    bench.admit(b"late")
    await quiet()
    assert bench.journal == [("attempt", "running"), ("attempt", "pausing")]


async def test_after_cancel_an_unconfirmed_dead_letter_is_not_published() -> None:
    bench = Bench()
    bench.publisher.down = BrokerUnavailable("gone")
    bench.plans["e1"] = [RejectedDeliveryError("HTTP 400")]
    bench.admit(an_inbound("e1"))
    bench.admit(b"?", message_id="e2")
    await asyncio.wait_for(_until(lambda: bench.publisher.calls > 5), 30)
    await bench.generation.cancel()
    bench.publisher.down = None
    await quiet()
    assert bench.journal == [("attempt", "e1")]


async def test_a_cancelled_message_is_handled_when_it_is_redelivered() -> None:
    bench = Bench()
    bench.plans["e1"] = [asyncio.Event()]
    bench.admit(an_inbound("e1"))
    await quiet()
    await bench.generation.cancel()
    bench.generation = bench.processor.open()
    bench.admit(an_inbound("e1"), redelivered=True)
    await quiet()
    assert bench.of("e1") == ["attempt", "attempt", "handled", "finished None", "acked"]


# the gate


async def test_nothing_starts_while_the_gate_is_closed() -> None:
    gate = ManualGate()
    bench = Bench(gate=gate)
    gate.close()
    for n in range(3):
        bench.admit(an_inbound(f"e{n}", sender_id=f"user {n}"))
    await quiet()
    assert bench.journal == []
    gate.open()
    await quiet()
    assert sorted(bench.ids("acked")) == ["e0", "e1", "e2"]


async def test_attempts_while_the_gate_is_closed_are_not_counted() -> None:
    gate = ManualGate()
    bench = Bench(gate=gate)
    gate.close()
    bench.plans["e1"] = [RetryableDeliveryError("HTTP 503")] * 20
    bench.admit(an_inbound("e1"))
    for _ in range(20):
        gate.probes.put_nowait(None)
    await quiet(2000)
    assert bench.of("e1") == ["attempt"] * 20
    gate.open()
    await quiet()
    assert bench.of("e1")[20:] == ["attempt", "handled", "finished None", "acked"]


async def test_attempts_before_the_gate_closed_are_forgotten() -> None:
    gate = ManualGate()
    bench = Bench(gate=gate)
    attempts = 0

    async def handle(message: Any) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 2:
            gate.close()
        raise RetryableDeliveryError("HTTP 503")

    bench.processor.handle = handle
    bench.admit(an_inbound("e1"))
    await quiet()
    assert attempts == 2
    assert not bench.dead
    gate.open()
    await quiet()
    assert attempts == 2 + AT_ONCE.max_attempts
    assert len(bench.dead) == 1


async def test_drain_while_the_gate_is_closed_settles_nothing() -> None:
    gate = ManualGate()
    bench = Bench(gate=gate)
    gate.close()
    bench.admit(an_inbound("e1"))
    await quiet()
    assert await bench.generation.drain(grace=LONG) is True
    gate.open()
    await quiet()
    assert bench.journal == []


async def test_cancel_while_the_gate_is_closed_settles_nothing() -> None:
    gate = ManualGate()
    bench = Bench(gate=gate)
    gate.close()
    bench.admit(an_inbound("e1"))
    await quiet()
    await bench.generation.cancel()
    gate.open()
    await quiet()
    assert bench.journal == []


# logs


async def test_no_log_line_quotes_a_message_or_a_foreign_errors_text(
    console: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.plans["e1"] = [ValueError("could not say 'my secret'")] * 3
    bench.admit(an_inbound("e1", text="my secret", metadata={"a": "my secret"}))
    bench.admit(b"my secret", message_id="e2")
    await quiet()
    assert "inbound=e1" in console.text
    assert "message_id=e2" in console.text
    assert "ValueError" in console.text
    assert "secret" not in console.text


async def test_every_log_line_about_a_message_names_its_id_and_attempt(
    console: pytest.LogCaptureFixture,
) -> None:
    """This includes the handler's lines, although one task runs all messages of a lane."""
    bench = Bench()
    bench.plans["e1"] = [ValueError()]
    bench.admit(an_inbound("e1", traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01"))
    bench.admit(an_inbound("e2"))
    bench.admit(an_inbound("e1"))
    await quiet()
    ids = "channel=callback inbound={} {}partition=07"
    traced = ids.format("e1", f"trace_id={'ab' * 16} ")
    said = [line.partition(": ")[2] for line in console.text.splitlines()]
    assert said == [
        f"runs  {traced} attempt=1",
        f"attempt failed (ValueError); next attempt in 0.0 s  {traced} attempt=1",
        f"runs  {traced} attempt=2",
        f"runs  {ids.format('e2', '')} attempt=1",
        f"completed before: not run again  {ids.format('e1', '')}",
    ]


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)
