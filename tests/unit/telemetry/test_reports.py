from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.errors import BrokerUnavailable, MessageError
from bridge.messages import InboundMessage
from bridge.monitor.samples import Samples
from bridge.processing.processor import Processor
from bridge.telemetry import metrics, reports
from bridge.telemetry.reports import Consuming, HeldMessages, Report, Reporter, Sample, decode
from bridge.telemetry.sketches import bucket_of
from tests.support.fakes import FakePublisher, a_delivery, an_inbound, quiet
from tests.support.waiting import eventually


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "EVERY", 0.0)


class Wire:
    """Takes the reports that a reporter sends."""

    def __init__(self) -> None:
        self.sent: list[Report] = []
        self.errors: list[BrokerUnavailable] = []
        self.calls = 0

    async def send(self, body: bytes) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(decode(body))


def reporter(wire: Wire | None = None) -> Reporter:
    return Reporter("worker a:1:ff", (wire or Wire()).send)


def sample(report: Report, name: str, **labels: str) -> float:
    return sum(s.increase for s in report.samples if s.name == name and s.labels == labels)


async def test_a_report_counts_increases_within_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("bridge.telemetry.reports.time.monotonic", lambda: now)
    counted = reporter()
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


async def test_a_report_names_the_cause_of_what_is_tried_again(publisher: FakePublisher) -> None:
    async def fail(message: InboundMessage) -> None:
        raise ValueError("words of a user")

    processor = Processor(InboundMessage, fail, publisher.queues(), concurrency=5)
    processor.open().admit(a_delivery(an_inbound("e1")))
    await eventually(lambda: processor.report().retrying)
    assert processor.report().failing == "ValueError"


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


async def test_reports_continue_after_some_could_not_be_published(often: None) -> None:
    wire = Wire()
    wire.errors = [BrokerUnavailable("not connected")] * 3
    running = asyncio.ensure_future(reporter(wire).run())
    await eventually(lambda: wire.sent, "a report")
    running.cancel()
    assert (wire.sent[0].name, wire.sent[0].role) == ("worker a:1:ff", "worker")
    assert not wire.sent[0].ended


async def test_the_last_report_of_a_process_that_ends_says_so() -> None:
    wire = Wire()
    running = asyncio.ensure_future(reporter(wire).run())
    await quiet()
    running.cancel()
    await asyncio.wait([running])
    assert [report.ended for report in wire.sent] == [True]


async def test_a_broker_that_does_not_read_delays_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "FAREWELL", 0.01)
    running = asyncio.ensure_future(Reporter("worker a:1:ff", lambda _: asyncio.sleep(60)).run())
    await quiet()
    running.cancel()
    await asyncio.wait([running], timeout=5)
    assert running.cancelled()


async def test_a_report_has_the_durations_of_its_window_in_a_sketch() -> None:
    metrics.turn.labels("sketched").observe(5.0)
    counted = reporter()
    metrics.turn.labels("sketched").observe(1.0)
    metrics.turn.labels("sketched").observe(1.0)
    (found,) = [s for s in counted.report().sketches if s.labels == {"channel": "sketched"}]
    assert (found.name, found.counts) == ("turn", {bucket_of(1.0): 2})
    assert not [s for s in counted.report().samples if s.name.endswith("_bucket")]


def test_an_invalid_report_is_refused() -> None:
    for body in (b"", b"\xff", b"{}", b"[1]"):
        with pytest.raises(MessageError, match="not a valid report"):
            decode(body)


def test_a_newer_report_with_more_fields_is_understood() -> None:
    fields = msgspec.json.decode(msgspec.json.encode(reporter().report()))
    assert decode(msgspec.json.encode({**fields, "mood": "good"})).name == "worker a:1:ff"


def test_samples_are_compact_on_the_wire() -> None:
    assert msgspec.json.encode(Sample("turn", {"a": "b"}, 1.0)) == b'["turn",{"a":"b"},1.0]'


GENUINE: dict[str, Any] = {
    "name": "worker a",
    "started_at": 1.7e9,
    "at": 1.7e9,
    "every": 2.0,
    "window": 10.0,
    "consuming": [
        {
            "flow": "inbound",
            "channel": "",
            "lanes": 1,
            "slots": 1,
            "busy": 1,
            "paused": True,
            "held": {"q": [1, 1.7e9]},
        }
    ],
    "samples": [["requests_rejected_total", {}, 1.0]],
    "sketches": [["turn", {}, {"5": 2}]],
}
HOSTILE: list[dict[str, Any]] = [
    {"name": "x" * 2000},
    {"started_at": -1e308},
    {"at": 1e308},
    {"every": 1e308},
    {"every": -1.0},
    {"window": -1.0},
    {"samples": [["x", {}, -1.0]]},
    {"samples": [["x", {}, 1e308]]},
    {"sketches": [["turn", {}, {"999999": 1}]]},
    {"sketches": [["turn", {}, {"5": -1}]]},
    {"sketches": [["turn", {}, {"5": 2**63}]]},
    {"consuming": [{**GENUINE["consuming"][0], "held": {"q": [-1, 1.7e9]}}]},
    {"consuming": [{**GENUINE["consuming"][0], "held": {"q": [1, -1e308]}}]},
    {"consuming": [{**GENUINE["consuming"][0], "lanes": 2**63}]},
]


@pytest.mark.parametrize("changes", HOSTILE, ids=str)
def test_a_report_with_numbers_that_no_process_reports_is_refused(changes: dict[str, Any]) -> None:
    decode(msgspec.json.encode(GENUINE))
    with pytest.raises(MessageError):
        decode(msgspec.json.encode({**GENUINE, **changes}))


@pytest.mark.parametrize("body", [b'{"x":' + b"[" * 100_000, b"\xff", b'{"name":"\xff"}', b""])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(MessageError):
        decode(body)


def test_a_report_without_the_expected_labels_makes_a_snapshot() -> None:
    samples = Samples([decode(msgspec.json.encode(GENUINE))])
    assert samples.incoming()[0].statuses == {"": 0.1}
