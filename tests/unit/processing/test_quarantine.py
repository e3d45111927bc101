"""Messages that were redelivered too often: how they run, and when they are dead-lettered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import AccessRefused, BrokerError, BrokerUnavailable
from bridge.messages import InboundMessage
from bridge.messages.keys import message_key
from bridge.processing.processor import Processor
from bridge.processing.quarantine import CONVICTED_AFTER, FEW, QUARANTINE_AFTER
from bridge.runtime.retry import RetryPolicy
from bridge.runtime.work import running
from tests.support.fakes import FakeCounters, FakePublisher, Journal, a_delivery, an_inbound, quiet
from tests.support.waiting import eventually


class Bench:
    """A worker's flow on a broker that keeps its counters when the worker dies."""

    def __init__(self) -> None:
        self.journal: Journal = []
        self.publisher = FakePublisher(self.journal)
        self.errors: list[Exception] = []
        """The errors that the next attempts raise."""
        self.begun: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.timeout: float | None = None
        self.start()

    def start(self) -> None:
        """Start the worker with an empty memory."""
        self.processor = Processor(
            InboundMessage,
            self._handle,
            self.publisher.queues(),
            concurrency=16,
            timeout=self.timeout,
            policy=RetryPolicy(base=0.0, cap=0.0),
        )
        self.generation = self.processor.open()

    async def crash(self) -> None:
        """Kill the worker: the messages that it holds have no further effect."""
        down, self.publisher.down = self.publisher.down, BrokerUnavailable("killed")
        await self.generation.cancel()
        for recording in list(self.processor.quarantine._recording.values()):
            recording.cancel()
        await quiet()
        self.publisher.down = down
        self.start()

    async def lose_connection(self) -> None:
        """Cut the connections; the process lives on and connects again."""
        self.publisher.down = BrokerUnavailable("both connections are lost")
        await self.generation.cancel()
        self.publisher.down = None
        self.generation = self.processor.open()

    async def _handle(self, message: InboundMessage) -> None:
        self.begun.append(message.id)
        if self.errors:
            raise self.errors.pop(0)
        await self.hold.wait()

    def admit(
        self, id: str, count: int = QUARANTINE_AFTER, sender: str = "", **changes: Any
    ) -> None:
        message = an_inbound(id=id, sender_id=sender or id)
        self.generation.admit(a_delivery(message, self.journal, delivery_count=count, **changes))

    @property
    def acked(self) -> list[Any]:
        return [id for what, id in self.journal if what == "acked"]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)
    monkeypatch.setattr("bridge.processing.attempts.APPEAL", 0.0)
    return Bench()


async def test_suspects_run_beside_each_other_until_a_process_crashes(bench: Bench) -> None:
    bench.hold.clear()
    for n in range(16):
        bench.admit(f"suspect-{n}")
    await quiet()
    assert len(bench.begun) == 16
    bench.hold.set()
    await quiet()
    assert len(bench.acked) == 16
    assert not bench.publisher.published
    assert not bench.publisher.counts


async def test_each_crash_shrinks_the_group_of_the_suspects_that_it_may_be_charged_to(
    bench: Bench,
) -> None:
    bench.hold.clear()
    running = []
    for crash in range(CONVICTED_AFTER):
        for n in range(16):
            bench.admit(f"suspect-{n}", QUARANTINE_AFTER + crash)
        await quiet()
        running.append(len(bench.begun))
        bench.begun.clear()
        await bench.crash()
    assert running == [16, 16 // FEW, 1]
    bench.hold.set()
    for n in range(16):
        bench.admit(f"suspect-{n}", 50)
    await quiet()
    assert len(bench.acked) == 16
    (letter,) = bench.publisher.published
    assert letter.properties["headers"]["x-bridge-id"] == "suspect-0"


@pytest.mark.parametrize(
    ("error", "together"),
    [(BrokerUnavailable("no answer in time"), 1), (AccessRefused("no permission"), 3)],
)
async def test_suspects_run_alone_while_the_broker_does_not_tell_their_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: BrokerError, together: int
) -> None:
    async def unanswered(*_: object) -> list[int]:
        raise error

    monkeypatch.setattr(FakeCounters, "read", unanswered)
    bench.hold.clear()
    for n in range(3):
        bench.admit(f"suspect-{n}")
    await quiet()
    assert len(bench.begun) == together
    bench.hold.set()
    await quiet()
    assert len(bench.acked) == 3


async def test_a_suspect_of_two_crashes_runs_alone_in_its_process(bench: Bench) -> None:
    bench.hold.clear()
    for crash in range(2):
        bench.admit("suspect", QUARANTINE_AFTER + crash)
        await quiet()
        await bench.crash()
    bench.begun.clear()
    bench.admit("suspect", QUARANTINE_AFTER + 2)
    await quiet()
    for n in range(3):
        bench.admit(f"other-{n}", 0)
    await quiet()
    assert bench.begun == ["suspect"]
    bench.hold.set()
    await quiet()
    assert len(bench.acked) == 4


async def test_a_message_that_keeps_killing_its_worker_is_dead_lettered_and_its_neighbours_are_not(
    bench: Bench,
) -> None:
    bench.hold.clear()
    for crash in range(CONVICTED_AFTER + 1):
        bench.admit("killer", QUARANTINE_AFTER + crash)
        bench.admit("neighbour", QUARANTINE_AFTER + crash)
        await quiet()
        if "killer" in bench.begun:
            await bench.crash()
            bench.begun.clear()
    bench.hold.set()
    await quiet()
    assert bench.begun == ["neighbour"]
    assert sorted(bench.acked) == ["killer", "neighbour"]
    (letter,) = bench.publisher.published
    headers = letter.properties["headers"]
    assert headers["x-bridge-reason"] == "poison"
    assert headers["x-bridge-id"] == "killer"
    assert headers["x-bridge-attempts"] == CONVICTED_AFTER


async def test_the_next_message_of_a_killers_conversation_runs(bench: Bench) -> None:
    bench.hold.clear()
    for _ in range(CONVICTED_AFTER):
        bench.admit("killer", sender="anna")
        bench.admit("behind", sender="anna")
        await quiet()
        await bench.crash()
    bench.hold.set()
    bench.admit("killer", sender="anna")
    bench.admit("behind", sender="anna")
    await quiet()
    assert bench.begun[-1] == "behind"
    assert bench.acked == ["killer", "behind"]


async def test_a_failed_attempt_never_counts_as_a_crash(bench: Bench) -> None:
    bench.errors = [RuntimeError()] * (CONVICTED_AFTER + 2)
    bench.admit("fails")
    await quiet()
    assert bench.begun == ["fails"] * (CONVICTED_AFTER + 3)
    assert bench.acked == ["fails"]
    assert not bench.publisher.counts


async def test_returns_of_a_process_that_lives_on_make_no_message_a_suspect(bench: Bench) -> None:
    bench.hold.clear()
    for lost in range(10):
        bench.admit("slow", lost)
        await quiet()
        await bench.lose_connection()
    assert bench.begun == ["slow"] * 10
    assert not bench.publisher.counts
    bench.hold.set()
    bench.admit("slow", 10)
    await quiet()
    assert bench.acked == ["slow"]
    assert not bench.publisher.published


async def test_an_attempt_that_was_cut_off_counts_neither_for_nor_against_a_suspect(
    bench: Bench,
) -> None:
    bench.hold.clear()
    bench.admit("suspect")
    await quiet()
    await bench.crash()
    for _ in range(5):
        bench.admit("suspect", 20)
        await quiet()
        await bench.lose_connection()
        await quiet()
        assert list(bench.publisher.counts.values()) == [1]


async def test_returns_of_a_message_that_blocked_the_loop_are_not_excused(bench: Bench) -> None:
    bench.hold.clear()
    for lost in range(QUARANTINE_AFTER):
        bench.admit("blocker", lost)
        await quiet()
        (work,) = running
        work.blocked = True
        await bench.lose_connection()
    (counter,) = {bench.publisher.queues().attempts_counter(work.key)}
    bench.publisher.counts[counter] = CONVICTED_AFTER  # by the watchdog
    bench.admit("blocker", QUARANTINE_AFTER)
    await quiet()
    assert len(bench.begun) == QUARANTINE_AFTER
    assert bench.acked == ["blocker"]
    (letter,) = bench.publisher.published
    assert letter.properties["headers"]["x-bridge-reason"] == "poison"


async def test_a_message_that_exceeds_its_deadline_three_times_is_dead_lettered_as_timed_out(
    bench: Bench,
) -> None:
    bench.timeout = 0.01
    bench.start()
    bench.hold.clear()
    bench.admit("hangs", 0)
    await eventually(lambda: bench.acked)
    assert bench.begun == ["hangs"] * CONVICTED_AFTER
    (letter,) = bench.publisher.published
    headers = letter.properties["headers"]
    assert headers["x-bridge-reason"] == "timed out"
    assert headers["x-bridge-attempts"] == CONVICTED_AFTER


async def test_exceeded_deadlines_are_counted_across_processes(bench: Bench) -> None:
    bench.timeout = 0.01
    bench.hold.clear()
    for process in range(CONVICTED_AFTER - 1):
        bench.start()
        bench.processor.policy = RetryPolicy(base=60.0, cap=60.0)
        bench.admit("hangs", process)
        await eventually(lambda process=process: sum(bench.publisher.counts.values()) > process)
        await bench.crash()
    bench.admit("hangs", CONVICTED_AFTER - 1)
    await eventually(lambda: bench.acked)
    assert bench.begun == ["hangs"] * CONVICTED_AFTER
    (letter,) = bench.publisher.published
    assert letter.properties["headers"]["x-bridge-reason"] == "timed out"


async def test_a_suspect_whose_deadlines_are_spent_does_not_run_again(bench: Bench) -> None:
    key = message_key(an_inbound(id="deaf", sender_id="deaf"))
    counter = bench.publisher.queues().attempts_counter(f"{key}\0exceeded")
    bench.publisher.counts[counter] = CONVICTED_AFTER
    bench.admit("deaf")
    await quiet()
    assert bench.begun == []
    assert bench.acked == ["deaf"]
    (letter,) = bench.publisher.published
    assert letter.properties["headers"]["x-bridge-reason"] == "timed out"


async def test_a_quarantined_message_runs_even_if_its_attempt_cannot_be_counted(
    bench: Bench,
) -> None:
    bench.publisher.down = BrokerUnavailable("no connection")
    bench.admit("s")
    await quiet()
    assert bench.begun == bench.acked == ["s"]


async def test_a_suspect_waits_until_a_process_that_starts_can_count(bench: Bench) -> None:
    bench.publisher.ready.clear()
    bench.admit("suspect")
    await quiet()
    assert bench.begun == []
    bench.publisher.ready.set()
    await eventually(lambda: bench.begun == ["suspect"])


async def test_an_attempt_that_ends_is_no_crash_although_its_count_was_not_confirmed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = type(bench.publisher.queues().counters)
    up = counters.up

    async def stored_but_not_confirmed(self: Any, name: str, expires: float) -> int:
        await up(self, name, expires)
        raise BrokerUnavailable("no answer in time")

    monkeypatch.setattr(counters, "up", stored_but_not_confirmed)
    bench.errors = [ValueError(), ValueError(), ValueError(), ValueError()]
    bench.admit("s")
    await quiet(200)
    assert bench.begun == ["s"] * 5
    assert bench.acked == ["s"]
    assert not bench.publisher.published
    assert not bench.publisher.counts


async def test_an_attempt_that_loses_its_connection_while_it_is_counted_is_taken_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = type(bench.publisher.queues().counters)
    up = counters.up

    async def stored_but_not_confirmed(self: Any, name: str, expires: float) -> int:
        await up(self, name, expires)
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(counters, "up", stored_but_not_confirmed)
    for _ in range(CONVICTED_AFTER):
        bench.admit("s")
        await quiet()
        assert list(bench.publisher.counts.values()) == [1]
        await bench.lose_connection()
        await quiet()
        assert list(bench.publisher.counts.values()) == [0]
    monkeypatch.setattr(counters, "up", up)
    bench.admit("s")
    await quiet()
    assert bench.begun == bench.acked == ["s"]


async def test_while_draining_a_waiting_suspect_is_neither_counted_nor_run(bench: Bench) -> None:
    bench.hold.clear()
    for n in range(16):
        bench.admit(f"one-{n}", 0)
    await quiet()
    bench.admit("other")
    await quiet()
    draining = asyncio.create_task(bench.generation.drain(60))
    await quiet()
    bench.hold.set()
    assert await draining
    assert len(bench.begun) == len(bench.acked) == 16
    assert not bench.publisher.counts


async def test_an_attempt_whose_end_was_not_recorded_does_not_count_as_a_crash_in_the_same_process(
    bench: Bench,
) -> None:
    bench.hold.clear()
    for _ in range(CONVICTED_AFTER + 1):
        bench.admit("s")
        await quiet()
        await bench.lose_connection()
    bench.hold.set()
    bench.admit("s")
    await quiet()
    assert bench.acked == ["s"]
    assert not bench.publisher.published
    assert not bench.publisher.counts


async def test_a_suspect_whose_connection_is_lost_is_neither_run_nor_counted(bench: Bench) -> None:
    bench.hold.clear()
    bench.admit("suspect", is_current=lambda: False)
    await quiet()
    assert not bench.begun
    assert not bench.publisher.counts


async def test_a_verdict_about_a_message_whose_connection_is_lost_writes_no_dead_letter(
    bench: Bench,
) -> None:
    """The process that holds the message now comes to the same verdict."""
    bench.hold.clear()
    for crash in range(CONVICTED_AFTER):
        bench.admit("suspect", QUARANTINE_AFTER + crash)
        await quiet()
        await bench.crash()
    bench.admit("suspect", 50, is_current=lambda: False)
    await quiet()
    assert not bench.publisher.published


async def test_an_attempt_that_only_lost_its_connection_is_taken_back_before_the_verdict(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process still cleans its turn up when the message arrives here."""
    monkeypatch.setattr("bridge.processing.attempts.APPEAL", 0.2)
    counts = bench.publisher.counts
    bench.hold.clear()
    bench.admit("suspect")
    await quiet()
    (counter,) = counts
    await bench.crash()
    bench.begun.clear()
    counts[counter] = CONVICTED_AFTER
    bench.admit("suspect", QUARANTINE_AFTER + 2)
    await quiet()
    assert not bench.begun
    counts[counter] -= 1
    bench.hold.set()
    await eventually(lambda: bench.acked)
    assert bench.begun == ["suspect"]
    assert not bench.publisher.published
