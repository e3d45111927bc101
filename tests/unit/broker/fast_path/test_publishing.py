"""Publishing on the fast path: confirms are matched by counting what was sent."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pamqp import commands

from bridge.broker.fast_path.confirm_channel import FastConfirmChannel
from bridge.broker.fast_path.publishing import Publishing
from bridge.broker.fast_path.tap import LARGEST_WRITE
from bridge.errors import (
    AccessRefused,
    BrokerError,
    BrokerUnavailable,
    NotDeclared,
    PublishRefused,
    Unroutable,
)
from tests.unit.broker.fast_path.wires import Wire, message, sent


class Bench:
    """A channel that publishes, and a broker that answers what the test says."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.lost: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self.channel = FastConfirmChannel(None, self.lost, Publishing(self.wire.tap, 1, 0))
        self.overdue = 0
        self.channel.on_overdue = self._on_overdue

    def _on_overdue(self) -> None:
        self.overdue += 1

    def publish(self, name: str, timeout: float = 60.0) -> asyncio.Task[None]:
        return asyncio.ensure_future(
            self.channel.publish("e", name, b"{}", kind="k", message_id=name, timeout=timeout)
        )

    async def publishing(self, *names: str, timeout: float = 60.0) -> list[asyncio.Task[None]]:
        tasks = [self.publish(name, timeout) for name in names]
        await asyncio.sleep(0)
        return tasks

    async def keys(self) -> list[str]:
        """Return the routing keys of what was written since the last call."""
        return [frame.routing_key for frame in await self.published()]

    async def published(self) -> list[Any]:
        return [f for f in await self.wire.written() if getattr(f, "name", "") == "Basic.Publish"]

    async def answer(self, *frames: Any) -> None:
        self.wire.tap.data_received(b"".join(map(sent, frames)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)


ACKED = sent(commands.Basic.Ack(1))


def outcome(task: asyncio.Task[None]) -> Any:
    """Return "…" while a publish waits, True if it was confirmed, or the error's type."""
    return (type(task.exception()) if task.exception() else True) if task.done() else "…"


async def test_a_confirm_ends_the_publish_with_its_number() -> None:
    bench = Bench()
    tasks = await bench.publishing("a", "b", "c")
    assert await bench.keys() == ["a", "b", "c"]
    await bench.answer(commands.Basic.Ack(2))
    assert list(map(outcome, tasks)) == ["…", True, "…"]
    await bench.answer(commands.Basic.Nack(1))
    assert list(map(outcome, tasks)) == [PublishRefused, True, "…"]
    await bench.answer(commands.Basic.Ack(3))
    assert list(map(outcome, tasks)) == [PublishRefused, True, True]


@given(st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.booleans()), max_size=10))
async def test_answers_to_several_mean_all_up_to_their_number(
    answers: list[tuple[int, bool, bool]],
) -> None:
    bench = Bench()
    tasks = await bench.publishing(*"abcdefgh")
    await bench.keys()
    expected: list[Any] = ["…"] * 8
    for tag, multiple, is_accepted in answers:
        frame = commands.Basic.Ack if is_accepted else commands.Basic.Nack
        await bench.answer(frame(tag, multiple))
        for n in range(tag if multiple else 1):
            at = n if multiple else tag - 1
            if expected[at] == "…":
                expected[at] = True if is_accepted else PublishRefused
    assert list(map(outcome, tasks)) == expected
    for task in tasks:
        task.cancel()


async def test_a_returned_message_fails_and_its_confirm_is_counted() -> None:
    bench = Bench()
    tasks = await bench.publishing("a", "b")
    headers = [f for f in await bench.wire.written() if f.name == "ContentHeader"]
    returned = commands.Basic.Return(312, "NO_ROUTE", "e", "b")
    bench.wire.tap.data_received(message(returned, b"{}", headers[1].properties))
    await bench.answer(commands.Basic.Ack(2))
    assert list(map(outcome, tasks)) == ["…", Unroutable]
    assert str(tasks[1].exception()) == "no queue is bound for routing key 'b'"
    await bench.answer(commands.Basic.Ack(1))
    assert outcome(tasks[0]) is True


@pytest.mark.parametrize("end", ["cancelled", "overdue", "blocked"])
async def test_what_has_failed_before_the_socket_takes_it_is_never_sent(end: str) -> None:
    bench = Bench()
    bench.wire.tap.pause_writing()
    task = bench.publish("late", timeout=0.0 if end == "overdue" else 60.0)
    await asyncio.sleep(0)
    if end == "cancelled":
        task.cancel()
    elif end == "blocked":
        bench.channel.block("RabbitMQ blocks publishers: memory alarm")
    await asyncio.wait([task])
    bench.channel.unblock()
    (after,) = await bench.publishing("after")
    bench.wire.tap.resume_writing()
    assert await bench.keys() == ["after"]
    # The broker counts what it receives: the message that was not sent has no number.
    await bench.answer(commands.Basic.Ack(1))
    assert outcome(after) is True
    if end != "cancelled":
        error = task.exception()
        assert isinstance(error, BrokerUnavailable)
        assert error.unconfirmed


async def test_an_alarm_fails_what_waits_and_late_confirms_are_ignored() -> None:
    bench = Bench()
    (task,) = await bench.publishing("a")
    await bench.keys()
    bench.channel.block("memory alarm")
    await asyncio.wait([task])
    assert outcome(task) is BrokerUnavailable
    refused = bench.publish("b")
    await asyncio.wait([refused])
    assert outcome(refused) is BrokerUnavailable
    bench.channel.unblock()
    (after,) = await bench.publishing("c")
    assert await bench.keys() == ["c"]
    await bench.answer(commands.Basic.Ack(1))
    assert outcome(after) == "…"
    await bench.answer(commands.Basic.Ack(2))
    assert outcome(after) is True


async def test_a_late_confirm_marks_the_channel_as_overdue() -> None:
    bench = Bench()
    task = bench.publish("a", timeout=0.01)
    await asyncio.wait([task])
    assert str(task.exception()) == "no confirm within 0.01 s"
    assert bench.overdue == 1


async def test_each_publish_has_its_deadline_though_they_share_a_timer() -> None:
    bench = Bench()
    timeouts = (60.0, 0.05, 0.01)
    tasks = [bench.publish(str(timeout), timeout) for timeout in timeouts]
    await asyncio.sleep(0)
    await bench.keys()
    await asyncio.wait([tasks[2]])
    assert list(map(outcome, tasks)) == ["…", "…", BrokerUnavailable]
    await asyncio.wait([tasks[1]])
    assert str(tasks[1].exception()) == "no confirm within 0.05 s"
    (later,) = await bench.publishing("later", timeout=0.01)
    await asyncio.wait([later])
    assert bench.overdue == 3
    await bench.answer(commands.Basic.Ack(4, True))
    assert outcome(tasks[0]) is True


async def test_what_fails_while_the_socket_is_full_is_not_sent_with_the_rest() -> None:
    bench = Bench()
    bench.wire.transport.capacity = 2 * LARGEST_WRITE
    tasks = await bench.publishing(*map(str, range(2000)))
    sent_before = await bench.keys()
    assert 0 < len(sent_before) < 1900
    for task in tasks[1900:]:
        task.cancel()
    await asyncio.wait(tasks[1900:])
    bench.wire.transport.capacity = 1 << 30
    bench.wire.tap.resume_writing()
    assert sent_before + await bench.keys() == [str(n) for n in range(1900)]
    await bench.answer(commands.Basic.Ack(1900, True))
    await asyncio.wait(tasks)
    assert all(outcome(task) is True for task in tasks[:1900])


async def test_a_confirm_that_waited_in_the_socket_while_the_process_stood_still_counts() -> None:
    bench = Bench()
    (task,) = await bench.publishing("a", timeout=0.01)
    assert await bench.keys() == ["a"]  # uvloop could run the timers before the message is sent
    asyncio.get_running_loop().call_later(0.02, bench.wire.tap.data_received, ACKED)
    time.sleep(0.05)  # noqa: ASYNC251 - uvloop then runs the deadline's timer first
    await asyncio.wait([task])
    assert outcome(task) is True
    assert bench.overdue == 0


@pytest.mark.parametrize(
    ("reason", "before", "after"),
    [
        (BrokerUnavailable("reset by peer"), BrokerUnavailable, BrokerUnavailable),
        (NotDeclared("no exchange 'e'"), NotDeclared, NotDeclared),
        (AccessRefused("no permission"), AccessRefused, BrokerUnavailable),
    ],
)
async def test_a_lost_channel_fails_everything_and_sends_nothing_more(
    reason: BrokerError, before: type[BrokerError], after: type[BrokerError]
) -> None:
    bench = Bench()
    tasks = await bench.publishing("a")
    await bench.wire.written()
    await bench.answer(commands.Channel.Close(404, "NOT_FOUND", 60, 40))
    tasks += await bench.publishing("b")  # aiormq has not told of the loss yet
    bench.lost.set_result(reason)
    await asyncio.wait(tasks)
    assert list(map(outcome, tasks)) == [before, before]
    late = bench.publish("c")
    await asyncio.wait([late])
    assert outcome(late) is after
    assert await bench.published() == []
