"""Each metric changes with the event that it describes, and the documentation lists all of them.

Metrics are global to the process, so a test compares with earlier values or uses its own channel.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from bridge.broker.connection import Connection
from bridge.broker.links import Consumer, Link
from bridge.broker.topology import Topology
from bridge.delivery.circuit_breaker import CircuitBreaker
from bridge.delivery.dispatcher import Dispatcher
from bridge.errors import (
    BrokerUnavailable,
    RejectedDeliveryError,
    ServiceUnavailable,
    Unroutable,
)
from bridge.messages import InboundMessage, Reply
from bridge.processing.gate import Gate
from bridge.processing.generation import ProcessorGeneration
from bridge.processing.processor import Processor
from bridge.runtime.retry import RetryPolicy
from bridge.telemetry import metrics
from bridge.webhook.collect import ReplyCollector
from bridge.webhook.inbox import QueueInbox
from tests.support.fakes import FakePublisher, a_delivery, a_reply, an_inbound, quiet
from tests.support.waiting import eventually
from worker.handler import Turns
from worker.output_channel import QueueOutput

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md"
AT_ONCE = RetryPolicy(base=0.0, cap=0.0, max_attempts=3, max_age=3600.0)


def value(name: str, **labels: str) -> float:
    """Return the current value of a bridge metric; 0 if it has never changed."""
    return REGISTRY.get_sample_value(f"rasa_bridge_{name}", labels) or 0.0


class Moved:
    """Changes of metrics since this object was created."""

    def __init__(self) -> None:
        self._before = self._values()

    def _values(self) -> dict[tuple[str, Any], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        key = (f"rasa_bridge_{name}", frozenset(labels.items()))
        return self._values().get(key, 0.0) - self._before.get(key, 0.0)


@pytest.fixture
def moved() -> Moved:
    return Moved()


@pytest.fixture(autouse=True)
def _no_pause_between_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.broker.queues.backoff", lambda failures: 0.0)


class Bench:
    """A processor whose handler raises an error, or waits, as the test plans for each id."""

    def __init__(
        self,
        plans: Mapping[str, list[Exception | asyncio.Event]] | None = None,
        *,
        kind: type[Any] = InboundMessage,
        concurrency: int = 16,
        gate: Gate | None = None,
        channel: str = "",
    ) -> None:
        self.plans = plans or {}
        self.publisher = FakePublisher()
        self.processor: Processor[Any] = Processor(
            kind,
            self._handle,
            self.publisher.queues(),
            concurrency=concurrency,
            policy=AT_ONCE,
            gate=gate,
            channel=channel,
        )
        self.generation: ProcessorGeneration[Any] = self.processor.open()

    async def _handle(self, message: Any) -> None:
        plan = self.plans.get(message.id)
        step = plan.pop(0) if plan else None
        if isinstance(step, Exception):
            raise step
        if step is not None:
            await step.wait()

    async def settle(self, *messages: Any, **changes: Any) -> None:
        for message in messages:
            self.generation.admit(a_delivery(message, **changes))
        await quiet()


# the documentation


def described(metric: Any) -> str:
    """Return the row that the documentation must have for a metric."""
    name = metric._name + ("_total" if metric._type == "counter" else "")
    labels = ", ".join(metric._labelnames) or "–"
    return f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |"


def ours() -> list[Any]:
    return [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]


def test_the_documentation_has_a_row_for_every_metric_and_for_no_other() -> None:
    rows = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `rasa_bridge_")
    ]
    assert rows == [described(metric) for metric in ours()]


def test_every_bridge_metric_is_served_and_defined_in_metrics_py() -> None:
    served = {m.name for m in REGISTRY.collect() if m.name.startswith("rasa_bridge_")}
    assert served == {m._name for m in ours()}


def test_failure_counters_start_at_zero_so_that_the_first_failure_is_an_increase() -> None:
    for name, first, second in (
        ("publish_failures_total", ("message", metrics.MESSAGES), ("error", metrics.ERRORS)),
        ("dead_letters_total", ("flow", ("inbound", "replies")), ("reason", metrics.REASONS)),
    ):
        for one, other in product(first[1], second[1]):
            labels = {first[0]: one, second[0]: other}
            assert REGISTRY.get_sample_value(f"rasa_bridge_{name}", labels) is not None, labels


def test_metric_names_and_labels_follow_the_conventions() -> None:
    for metric in ours():
        assert metric._type != "histogram" or metric._name.endswith(("_seconds", "_messages"))
        assert metric._documentation.endswith(".")
        allowed = {"channel", "flow", "outcome", "reason", "error", "message", "status", "link"}
        allowed |= {"level"} if metric is metrics.pace else set()
        allowed |= {"kind"} if metric is metrics.events_ignored else set()
        allowed |= {"code"} if metric is metrics.receipt_failures else set()
        allowed |= {"process"} if metric is metrics.partitions_held else set()
        assert set(metric._labelnames) <= allowed


# settling


async def test_a_settled_message_is_counted_by_its_outcome(moved: Moved) -> None:
    bench = Bench({"e2": [RejectedDeliveryError("HTTP 400")]})
    await bench.settle(an_inbound("e1"), an_inbound("e1"), an_inbound("e2"), b"not json")

    def settled(outcome: str, channel: str = "callback") -> float:
        return moved("messages_total", flow="inbound", channel=channel, outcome=outcome)

    assert [settled(outcome) for outcome in ("handled", "repeated", "dead")] == [1, 1, 1]
    assert settled("dead", channel="") == 1


async def test_an_unsettled_message_is_not_counted(moved: Moved) -> None:
    bench = Bench({"e1": [asyncio.Event()]})
    await bench.settle(an_inbound("e1"))
    await bench.generation.cancel()
    for outcome in ("handled", "repeated", "dead"):
        assert moved("messages_total", flow="inbound", channel="callback", outcome=outcome) == 0


async def test_a_failure_counts_as_a_retry_only_if_another_attempt_follows(moved: Moved) -> None:
    bench = Bench({"e1": [ValueError(), ValueError()], "e2": [ValueError()] * 3})
    await bench.settle(an_inbound("e1"), an_inbound("e2"), an_inbound("e3"))
    assert moved("retries_total", flow="inbound", channel="callback") == 4


async def test_a_redelivered_message_counts_as_a_redelivery(moved: Moved) -> None:
    bench = Bench(kind=Reply)
    await bench.settle(a_reply("e1:0"))
    assert moved("redeliveries_total", flow="replies", channel="") == 0
    await bench.settle(a_reply("e1:1"), redelivered=True)
    assert moved("redeliveries_total", flow="replies", channel="") == 1
    assert moved("redeliveries_total", flow="inbound", channel="") == 0


async def test_dead_letters_are_counted_by_reason_after_they_are_confirmed(moved: Moved) -> None:
    bench = Bench({"e1": [RejectedDeliveryError("no")], "e2": [ValueError()] * 3})
    bench.publisher.errors = [BrokerUnavailable("no confirm")]
    await bench.settle(an_inbound("e1", sender_id="ada"))
    await bench.settle(an_inbound("e2", sender_id="bob"), b"?")
    for reason in ("rejected", "failed", "undecodable"):
        assert moved("dead_letters_total", flow="inbound", reason=reason) == 1
    assert moved("dead_letters_total", flow="inbound", reason="poison") == 0


async def test_queueing_time_runs_from_the_messages_timestamp_to_its_first_attempt(
    moved: Moved,
) -> None:
    bench = Bench({"e1": [ValueError()]})
    await bench.settle(an_inbound("e1", received_at=time.time() - 100))
    assert moved("queueing_seconds_count", flow="inbound", channel="callback") == 1
    waited = moved("queueing_seconds_sum", flow="inbound", channel="callback")
    assert 100 <= waited < 160
    replies = Bench(kind=Reply)
    await replies.settle(a_reply("e1:0", created_at=time.time() + 100))
    assert moved("queueing_seconds_count", flow="replies", channel="callback") == 1
    assert moved("queueing_seconds_sum", flow="replies", channel="callback") == 0


async def test_queueing_time_is_measured_once_even_if_the_service_pauses(moved: Moved) -> None:
    breaker = CircuitBreaker("paused")
    bench = Bench({"e1:0": [ServiceUnavailable("refused")]}, kind=Reply, gate=breaker)
    handle = bench.processor.handle

    async def fails(reply: Reply) -> None:
        try:
            await handle(reply)
        except ServiceUnavailable as error:
            breaker.failed("ada", error)
            raise

    bench.processor.handle = fails
    await bench.settle(a_reply("e1:0", channel="paused"))
    assert value("breaker_open", channel="paused") == 1
    breaker.succeeded("ada")
    await quiet()
    assert value("breaker_open", channel="paused") == 0
    assert moved("messages_total", flow="replies", channel="paused", outcome="handled") == 1
    assert moved("queueing_seconds_count", flow="replies", channel="paused") == 1


async def test_lanes_and_slots_show_the_current_state() -> None:
    may_end = asyncio.Event()
    bench = Bench({f"e{n}:0": [may_end] for n in range(5)}, kind=Reply, concurrency=3, channel="c1")
    labels = {"flow": "replies", "channel": "c1"}
    await bench.settle(*(a_reply(f"e{n}:0", recipient_id=f"r{n}") for n in range(5)))
    assert value("lanes", **labels) == 5
    assert (value("slots_busy", **labels), value("slots", **labels)) == (3, 3)
    may_end.set()
    await quiet()
    assert (value("lanes", **labels), value("slots_busy", **labels)) == (0, 0)


async def test_lanes_of_a_lost_connection_are_not_counted() -> None:
    bench = Bench({"e1": [asyncio.Event()]}, channel="c2")
    await bench.settle(an_inbound("e1"))
    assert value("lanes", flow="inbound", channel="c2") == 1
    await bench.generation.cancel()
    bench.processor.open()
    assert value("lanes", flow="inbound", channel="c2") == 0
    assert value("slots_busy", flow="inbound", channel="c2") == 0


# turns, deliveries, publishing


async def test_every_turn_is_timed_even_if_it_fails(moved: Moved) -> None:
    async def handle(message: InboundMessage, output: Any) -> None:
        if message.text == "fail":
            raise ValueError

    turns = Turns(handle, FakePublisher().queues(), QueueOutput)
    await turns.run(an_inbound("e1"))
    with pytest.raises(ValueError):  # noqa: PT011
        await turns.run(an_inbound("e2", text="fail"))
    assert moved("turn_seconds_count", channel="callback") == 2


async def test_each_call_to_a_service_is_timed(moved: Moved) -> None:
    class TwoCalls:
        def unprefixed(self, reply: Reply) -> Reply:
            return reply

        def split(self, reply: Reply) -> list[Reply]:
            return [a_reply("e1:0.0"), a_reply("e1:0.1")]

        async def deliver(self, reply: Reply, http: Any) -> None:
            if reply.id == "e1:0.1":
                raise RejectedDeliveryError("HTTP 400")

    connector: Any = TwoCalls()
    with pytest.raises(RejectedDeliveryError):
        await Dispatcher(connector, connector, CircuitBreaker("callback")).deliver(a_reply())
    assert moved("delivery_seconds_count", channel="callback") == 2


async def test_an_acknowledgement_is_timed_after_the_confirm(moved: Moved) -> None:
    publisher = FakePublisher(errors=[BrokerUnavailable("gone")])
    collector = ReplyCollector("amqp://nowhere", "test", Topology())
    collector.link.queue = "private"
    inbox = QueueInbox(publisher.queues(), collector)
    with pytest.raises(BrokerUnavailable):
        await inbox.enqueue(an_inbound("e1"))
    assert moved("acknowledgement_seconds_count", channel="callback") == 0
    await inbox.enqueue(an_inbound("e1", received_at=time.time() - 2))
    assert 2 <= moved("acknowledgement_seconds_sum", channel="callback") < 60
    await inbox.collect(an_inbound("e2", channel="rest"), 10).enqueued()
    assert moved("acknowledgement_seconds_count", channel="rest") == 1


async def test_failed_publishes_are_counted_by_message_kind_and_error(moved: Moved) -> None:
    queues = FakePublisher(errors=[BrokerUnavailable("gone"), Unroutable("no queue")]).queues()
    with pytest.raises(BrokerUnavailable):
        await queues.put_inbound(an_inbound())
    with pytest.raises(Unroutable):
        await queues.put_reply(a_reply())
    await queues.put_inbound(an_inbound())
    assert moved("publish_failures_total", message="inbound", error="BrokerUnavailable") == 1
    assert moved("publish_failures_total", message="reply", error="Unroutable") == 1


# links


async def test_a_connection_reports_whether_it_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = asyncio.Event()

    class Up(Link):
        kind = "test"

        async def _session(self, connection: Connection) -> None:
            self._is_ready("up")
            await may_end.wait()
            raise BrokerUnavailable("cut")

    class Connected:
        url = "amqp://nowhere"

        async def __aenter__(self) -> Connected:
            return self

        async def __aexit__(self, *_: object) -> None: ...

    monkeypatch.setattr("bridge.broker.links.connect", lambda *_: Connected())
    link = Up("amqp://nowhere", "test", "c1")
    running = asyncio.ensure_future(link.run())
    assert value("connected", link="test", channel="c1") == 0
    await quiet()
    assert value("connected", link="test", channel="c1") == 1
    may_end.set()
    await eventually(lambda: value("connected", link="test", channel="c1") == 0)
    running.cancel()


def test_a_consumers_share_is_the_number_of_its_active_partitions() -> None:
    queues = dict.fromkeys(["q.00", "q.01", "q.02"], 0)
    bench: Any = None
    consumer = Consumer(
        "amqp://x", "x", Topology(), queues, 16, bench, flow="replies", channel="c3"
    )
    labels = {"flow": "replies", "channel": "c3"}
    assert (value("partitions_consumed", **labels), value("partitions_active", **labels)) == (3, 0)
    for queue in ("q.00", "q.02", "q.00"):
        consumer._active.note(queue)
    assert (value("partitions_consumed", **labels), value("partitions_active", **labels)) == (3, 2)
