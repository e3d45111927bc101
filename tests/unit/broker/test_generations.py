"""Generations under random interleavings of deliver, ack, fail, disconnect, cancel and drain.

The real consumer, generations and lanes run on a model of the broker (tests/support/quorum.py).
Futures held by the test decide how each turn ends, so no time passes. Each test states one
invariant of the run that `play` observes.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, strategies as st

from bridge.broker.links import Consumer
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, RejectedDeliveryError, RetryableDeliveryError
from bridge.messages import INBOUND, InboundMessage, encode
from bridge.messages.keys import message_key
from bridge.processing.processor import Processor
from bridge.processing.quarantine import CONVICTED_AFTER, QUARANTINE_AFTER
from bridge.runtime.retry import RetryPolicy
from tests.support.fakes import FakePublisher, an_inbound, quiet
from tests.support.quorum import ModelBroker, Stored

PREFETCH = 4
QUEUES = {"a": "q0", "b": "q0", "c": "q1"}
"""Conversation → queue."""
LONG = 3600.0
"""Seconds; no test waits this long."""
AT_ONCE = RetryPolicy(base=0.0, cap=0.0, max_attempts=3, max_age=LONG)


class Start(NamedTuple):
    """One attempt of the handler, and what ran when it began."""

    position: int
    counted: int
    """The counter of its message on the broker, this attempt included."""
    beside: list[int]


class System:
    """Consumer, processor and broker. Each operation is a method that takes a number."""

    def __init__(self) -> None:
        self.broker = ModelBroker(*sorted(set(QUEUES.values())))
        self.publisher = FakePublisher()
        self.running: dict[int, asyncio.Future[None]] = {}
        """Position → future that ends its turn; kept until the turn's clean-up has ended."""
        self.starts: list[Start] = []
        self.handled: list[int] = []
        self.overlaps: list[int] = []
        self.problems: list[str] = []
        self.killed: Counter[str] = Counter()
        """Id → number of processes killed while they ran it in quarantine."""
        self.killed_alone: set[str] = set()
        """Ids of messages that ran alone in a process when it was killed."""
        self.begin()

    def begin(self) -> None:
        self.processor = Processor(
            InboundMessage,
            self._handle,
            self.publisher.queues(),
            concurrency=16,
            policy=AT_ONCE,
        )
        queues = dict.fromkeys(self.broker.ready, 0)
        self.consumer = Consumer(
            "amqp://model", "model", Topology(), queues, PREFETCH, self.processor.open, INBOUND
        )
        self.task = asyncio.ensure_future(self.consumer.run())
        self.drains: list[asyncio.Future[bool]] = []

    async def end(self) -> None:
        assert not self.task.done(), self.task
        self.task.cancel()
        await asyncio.wait([self.task])
        for drain in self.drains:
            drain.cancel()

    async def _handle(self, message: InboundMessage) -> None:
        position = int(message.text)
        counter = self.publisher.queues().attempts_counter(message_key(message))
        # A repeated event has the counter of the first one, but need not be a suspect itself.
        counted = self.publisher.counts.get(counter, 0) if self.is_suspect(position) else 0
        self.starts.append(Start(position, counted, list(self.running)))
        if message.sender_id in self.conversations(self.running):
            self.overlaps.append(position)
        if not self.is_done_before(position):
            self.problems.append(f"{position} began before an earlier one of its conversation")
        self.running[position] = asyncio.get_running_loop().create_future()
        try:
            await self.running[position]
            self.handled.append(position)
        except asyncio.CancelledError:
            # Clean-up takes longer than a reconnect: no other turn may start before it ends.
            await quiet(20)
            raise
        finally:
            del self.running[position]

    # observations

    def is_suspect(self, position: int) -> bool:
        return self.broker.stored[position].count >= QUARANTINE_AFTER

    @property
    def poison(self) -> list[str]:
        """Ids of the messages that were dead-lettered because they kill their process."""
        letters = self.publisher.published
        found = [p.body for p in letters if p.properties["headers"]["x-bridge-reason"] == "poison"]
        return [stored.id for stored in self.broker.stored if stored.body in found]

    def conversation(self, position: int) -> str:
        return self.broker.stored[position].id[0]

    def conversations(self, positions: Any) -> set[str]:
        return {self.conversation(position) for position in positions}

    @property
    def dead(self) -> list[int]:
        """Positions of the dead letters."""
        bodies = [published.body for published in self.publisher.published]
        return [stored.position for stored in self.broker.stored if stored.body in bodies]

    @property
    def done_ids(self) -> set[str]:
        return {self.broker.stored[position].id for position in self.handled}

    def is_done(self, stored: Stored) -> bool:
        """Whether a message was handled, repeats a handled one, or was dead-lettered."""
        return stored.id in self.done_ids or stored.position in self.dead

    def is_done_before(self, position: int) -> bool:
        """Whether all earlier messages of the same conversation are done."""
        return all(
            self.is_done(earlier)
            for earlier in self.broker.stored[:position]
            if earlier.id[0] == self.conversation(position)
        )

    @property
    def acts(self) -> tuple[int, ...]:
        """Counters that change with every action on behalf of a message."""
        broker, publisher = self.broker, self.publisher
        return len(self.starts), len(self.handled), len(broker.settled), len(publisher.published)

    # operations

    def publish(self, n: int, count: int = 0, id: str = "") -> None:
        conversation, position = "abc"[n % 3], len(self.broker.stored)
        id = id or f"{conversation}{position}"
        message = an_inbound(id, sender_id=conversation, text=str(position))
        self.broker.publish(QUEUES[conversation], encode(message), id, count)

    def publish_worn(self, n: int) -> None:
        """Publish a message that earlier processes held, or ran, when they were killed."""
        self.publish(n, count=(QUARANTINE_AFTER - 1, QUARANTINE_AFTER, 50)[n // 3 % 3])

    def publish_again(self, n: int) -> None:
        ids = [stored.id for stored in self.broker.stored if stored.id[0] in "abc"]
        if ids:
            id = ids[n % len(ids)]
            self.publish("abc".index(id[0]), id=id)

    def publish_garbage(self, n: int) -> None:
        position = len(self.broker.stored)
        self.broker.publish(f"q{n % 2}", b"garbage %d" % position, f"x{position}")

    def _end_one(self, n: int, error: Exception | None) -> None:
        waiting = [future for future in self.running.values() if not future.done()]
        if waiting and error is not None:
            waiting[n % len(waiting)].set_exception(error)
        elif waiting:
            waiting[n % len(waiting)].set_result(None)

    def finish(self, n: int) -> None:
        self._end_one(n, None)

    def fail(self, n: int) -> None:
        self._end_one(n, RetryableDeliveryError("HTTP 503") if n % 2 else ZeroDivisionError())

    def reject(self, n: int) -> None:
        self._end_one(n, RejectedDeliveryError("HTTP 400"))

    def refuse_dead_letters(self, n: int) -> None:
        self.publisher.down = BrokerUnavailable("no confirm")

    def confirm_dead_letters(self, n: int) -> None:
        self.publisher.down = None

    def disconnect(self, n: int) -> None:
        self.broker.online.clear()
        self.broker.lose()

    def connect(self, n: int) -> None:
        self.broker.online.set()

    def reconnect(self, n: int) -> None:
        """Lose the connection; the broker is back before the consumer notices."""
        self.broker.lose()
        self.broker.online.set()

    def cancel_consumer(self, n: int) -> None:
        """Cancel a consumer at the broker, as happens when its queue is deleted."""
        for channel in self.broker.connection.channels if self.broker.connection else []:
            channel.consumers.pop(f"q{n % 2}", None)

    async def restart(self, n: int) -> None:
        """Replace the process by a new one with an empty memory."""
        await self.end()
        self.begin()

    async def crash(self, n: int) -> None:
        """Kill the process: nothing that it still does has an effect."""
        suspects = filter(self.is_suspect, self.running)
        self.killed.update(self.broker.stored[position].id for position in suspects)
        if len(self.running) == 1:
            self.killed_alone.update(self.broker.stored[position].id for position in self.running)
        down, self.publisher.down = self.publisher.down, BrokerUnavailable("killed")
        recording = self.processor.quarantine._recording
        await self.restart(n)
        for task in list(recording.values()):
            task.cancel()
        self.publisher.down = down

    def drain(self, n: int) -> None:
        self.drains.append(asyncio.ensure_future(self.consumer.drain(LONG)))


PUBLISHES = ["publish", "publish", "publish", "publish_again", "publish_garbage"]
ENDS = ["finish", "finish", "fail", "fail", "reject", "refuse_dead_letters", "confirm_dead_letters"]
CUTS = ["disconnect", "connect", "connect", "reconnect", "cancel_consumer"]
WORK = PUBLISHES + ENDS
CUT_WORK = WORK + CUTS
WORN = ["publish_worn", "publish_worn", "publish_worn", "restart"]
ANYTHING = [*CUT_WORK, *WORN, "crash"]
CRASHES = [*PUBLISHES, "finish", "fail", *CUTS, *WORN, *["crash"] * 8]

Play = list[tuple[str, int]]


def plays(names: list[str]) -> st.SearchStrategy[Play]:
    operation = st.tuples(st.sampled_from(names), st.integers(0, 9))
    # By default, hypothesis generates lists of about five.
    return st.lists(operation, max_size=10) | st.lists(operation, min_size=15, max_size=40)


REST: Play = [("confirm_dead_letters", 0), ("connect", 0)]


async def play(operations: Play, look: Callable[[System], None] = lambda system: None) -> System:
    """Run the operations; after each, wait until nothing changes, then call `look`."""
    system = System()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bridge.broker.links.connect", system.broker.connect)
        patch.setattr("bridge.broker.links.ensure_topology", _no_topology)
        patch.setattr("bridge.broker.links.backoff", lambda failures: 0.0)
        patch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)
        patch.setattr("bridge.processing.attempts.APPEAL", 0.0)
        await quiet(20)
        for name, n in operations:
            result = getattr(system, name)(n)
            if result is not None:
                await result
            await quiet(40)
            look(system)
        await system.end()
    return system


async def _no_topology(*_: object, **__: object) -> None:
    return None


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@given(plays(ANYTHING))
async def test_no_message_is_acked_before_it_is_handled_or_dead_lettered(operations: Play) -> None:
    def look(system: System) -> None:
        assert all(system.is_done(stored) for stored in system.broker.settled)

    await play(operations, look)


@given(plays(ANYTHING))
@example([("publish", 0), ("cancel_consumer", 0), ("publish", 0)])
async def test_every_message_is_settled_exactly_once_after_faults_stop(operations: Play) -> None:
    until_done = [("finish", 0)] * (4 * len(operations))
    system = await play([*operations, *REST, *until_done])
    settled = sorted(stored.position for stored in system.broker.settled)
    assert settled == list(range(len(system.broker.stored)))


@given(plays(ANYTHING))
async def test_turns_of_a_conversation_start_in_order_even_across_generations(
    operations: Play,
) -> None:
    assert (await play(operations)).problems == []


@given(plays(ANYTHING))
async def test_turns_of_a_conversation_never_overlap_even_across_generations(
    operations: Play,
) -> None:
    assert (await play(operations)).overlaps == []


@given(plays(ANYTHING), plays(WORK))
# The consumer waits for other turns before it runs a quarantined message alone.
@example([("publish", 2), ("publish_worn", 3)], [])
async def test_nothing_acts_after_its_connection_is_lost(before: Play, after: Play) -> None:
    acts: list[tuple[int, ...]] = []

    def look(system: System) -> None:
        if not system.broker.online.is_set():
            assert not system.running
            acts.append(system.acts)
            assert acts[-1] == acts[0]
        else:
            acts.clear()

    await play([*before, ("disconnect", 0), *after], look)


@given(plays(CUT_WORK))
async def test_a_process_does_not_run_a_completed_id_again(operations: Play) -> None:
    system = await play(operations)
    ids = [system.broker.stored[position].id for position in system.handled]
    assert len(ids) == len(set(ids))


@given(plays(WORK))
async def test_a_conversation_never_waits_for_another_one_that_fails(operations: Play) -> None:
    def look(system: System) -> None:
        waiting = {s.position for s in system.broker.unacked if s.id[0] in "abc"}
        idle = system.conversations(waiting) - system.conversations(system.running)
        if system.publisher.down is None:
            assert not idle
        for conversation in idle:
            # Only a conversation whose own dead letter is not confirmed may be idle.
            attempted = {start.position for start in system.starts}
            assert min(p for p in waiting if system.conversation(p) == conversation) in attempted

    await play(operations, look)


@given(plays(CRASHES))
async def test_nothing_runs_beside_a_suspect_whose_next_crash_convicts_it(
    operations: Play,
) -> None:
    for start in (await play(operations)).starts:
        assert start.counted < CONVICTED_AFTER or not start.beside


@given(plays(CRASHES))
async def test_only_a_message_that_kills_process_after_process_is_dead_lettered_as_poison(
    operations: Play,
) -> None:
    system = await play(operations)
    assert all(system.killed[id] >= CONVICTED_AFTER for id in system.poison)
    assert set(system.poison) <= system.killed_alone


@given(plays(PUBLISHES))
async def test_a_message_kills_a_bounded_number_of_processes(operations: Play) -> None:
    """Every turn kills its process, unless another turn kills it first."""
    system = await play([*operations, *[("crash", 0)] * 12])
    assert max(system.killed.values(), default=0) <= CONVICTED_AFTER
    if system.starts:
        assert system.poison


@given(plays(ANYTHING), plays([*CUT_WORK, "publish_worn"]))
@example([], [("publish", 0), ("reconnect", 0)])
# The drain begins while the consumer opens its next channel.
@example([("publish_worn", 0), ("restart", 0), ("reconnect", 0), ("cancel_consumer", 0)], [])
async def test_after_drain_nothing_starts_even_after_a_disconnect(
    before: Play, after: Play
) -> None:
    starts: list[int] = []

    def look(system: System) -> None:
        if system.drains:
            starts.append(len(system.starts))
            assert starts[-1] == starts[0]

    await play([*before, ("drain", 0), *after], look)


@given(plays(ANYTHING), plays([*PUBLISHES, "finish"]))
async def test_drain_returns_after_every_running_message_is_settled(
    before: Play, after: Play
) -> None:
    until_done = [("finish", 0)] * 10
    began: list[set[int]] = []
    ended: list[bool] = []

    def look(system: System) -> None:
        if system.drains and not began:
            began.append(set(system.running))
        ended[:] = [drain.done() for drain in system.drains]

    system = await play([*before, *REST, ("drain", 0), *after, *REST, *until_done], look)
    settled = {stored.position for stored in system.broker.settled}
    assert began[0] <= settled | set(system.dead)
    assert ended == [True]
