from __future__ import annotations

import asyncio

import msgspec
import pytest

from bridge.errors import MessageError, Unroutable
from bridge.messages import InboundMessage
from bridge.processing.processor import Processor
from bridge.telemetry import metrics, reports
from bridge.telemetry.reports import Consuming, HeldMessages, Report, Reporter, Sample, decode
from tests.support.fakes import FakePublisher, a_delivery, an_inbound, quiet
from tests.support.waiting import eventually


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "EVERY", 0.0)


def reporter(publisher: FakePublisher) -> Reporter:
    return Reporter("worker a:1:ff", publisher, "bridge.reports")


def sample(report: Report, name: str, **labels: str) -> float:
    return sum(s.increase for s in report.samples if s.name == name and s.labels == labels)


async def test_a_report_counts_increases_within_the_window(
    publisher: FakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("bridge.telemetry.reports.time.monotonic", lambda: now)
    counted = reporter(publisher)
    published = metrics.published.labels("inbound", "test-of-reports")

    def grown() -> tuple[float, float]:
        report = counted.report()
        increase = sample(report, "published_total", flow="inbound", channel="test-of-reports")
        return increase, report.window

    published.inc(3)
    now = 2.0
    assert grown() == (3, 2.0)
    published.inc(4)
    now = 10.0
    assert grown() == (7, 10.0)
    now = 18.0  # the reading of 2.0 is 16 seconds old
    assert grown() == (4, 16.0)
    now = 26.0
    assert grown() == (0, 16.0)


async def test_a_report_contains_held_and_running_messages(publisher: FakePublisher) -> None:
    go_on = asyncio.Event()

    async def wait(message: InboundMessage) -> None:
        await go_on.wait()

    processor = Processor(InboundMessage, wait, publisher.queues(), concurrency=5)
    assert processor.report() == Consuming("inbound", "", 0, 5, 0, False, {})
    generation = processor.open()
    for id in ("e1", "e2"):
        generation.admit(a_delivery(an_inbound(id, received_at=50.0)))
    await quiet()
    held = {"bridge.inbound.07": HeldMessages(2, 50.0)}
    assert processor.report() == Consuming("inbound", "", 1, 5, 1, False, held)
    go_on.set()
    await quiet()
    assert processor.report() == Consuming("inbound", "", 0, 5, 0, False, {})


async def test_an_undecodable_message_is_held_until_it_is_dead_lettered(
    publisher: FakePublisher,
) -> None:
    async def never(message: InboundMessage) -> None:
        raise AssertionError

    processor = Processor(InboundMessage, never, publisher.queues(), concurrency=5)
    processor.open().admit(a_delivery(b"{"))
    assert processor.report().held["bridge.inbound.07"].number == 1
    await quiet()
    assert processor.report().held == {}


async def test_reports_continue_while_no_monitor_listens(
    publisher: FakePublisher, often: None
) -> None:
    publisher.errors = [Unroutable("no queue is bound")] * 3
    running = asyncio.ensure_future(reporter(publisher).run())
    await eventually(lambda: publisher.published, "a report")
    running.cancel()
    first = publisher.published[0]
    assert (first.exchange, first.routing_key) == ("bridge.reports", "report")
    report = decode(first.body)
    assert (report.name, report.role) == ("worker a:1:ff", "worker")


def test_an_invalid_report_is_refused() -> None:
    for body in (b"", b"\xff", b"{}", b"[1]"):
        with pytest.raises(MessageError, match="not a valid report"):
            decode(body)


def test_a_newer_report_with_more_fields_is_understood(publisher: FakePublisher) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(reporter(publisher).report()))
    assert decode(msgspec.json.encode({**fields, "mood": "good"})).name == "worker a:1:ff"


def test_samples_are_compact_on_the_wire() -> None:
    assert msgspec.json.encode(Sample("turn", {"a": "b"}, 1.0)) == b'["turn",{"a":"b"},1.0]'
