from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from bridge.broker.topology import Depth
from bridge.monitor.exporter import export
from bridge.monitor.observer import Observer
from bridge.telemetry.reports import HeldMessages, Report
from tests.unit.monitor.test_compose import FIRST, TOPOLOGY, a_webhook, a_worker, inbound, see


class Broker:
    """Fakes `bridge.broker.connection.Connection`: empty queues with a consumer."""

    def __init__(self) -> None:
        self.now = 100.0
        self.depth: dict[str, Depth] = {}
        self.missing = {TOPOLOGY.resizing, *TOPOLOGY.surplus_queues()}

    async def depths(self, queues: Iterable[str]) -> dict[str, Depth]:
        there = [queue for queue in queues if queue not in self.missing]
        return {queue: self.depth.get(queue, Depth(0, 1)) for queue in there}


@pytest.fixture
def broker() -> Any:
    return Broker()


@pytest.fixture
def observer(broker: Any) -> Observer:
    return Observer("amqp://127.0.0.1:1/", TOPOLOGY, clock=lambda: broker.now)


def receive(observer: Observer, report: Report) -> None:
    observer._take(msgspec.json.encode(report))


async def test_messages_without_a_holder_age_from_when_they_were_first_seen(
    broker: Any, observer: Observer
) -> None:
    broker.depth[FIRST] = Depth(3, 0)
    ages = []
    for broker.now in (100.0, 102.0, 130.0):
        ages.append(inbound(await observer.look(broker)).oldest_age)
    assert ages == [None, 2.0, 30.0]
    broker.depth[FIRST] = Depth(0, 0)
    await observer.look(broker)
    broker.depth[FIRST] = Depth(1, 0)
    ages = []
    for broker.now in (140.0, 142.0):
        ages.append(inbound(await observer.look(broker)).oldest_age)
    assert ages == [None, 2.0]


async def test_the_age_reported_by_a_holder_takes_precedence(
    broker: Any, observer: Observer
) -> None:
    broker.depth[FIRST] = Depth(3, 1)
    await observer.look(broker)
    broker.now = 110.0
    receive(observer, a_worker("a", {FIRST: HeldMessages(1, 95.0)}))
    flow = inbound(await observer.look(broker))
    assert (flow.oldest_age, flow.at_least) == (4.0, False)


async def test_a_process_that_misses_three_reports_is_gone(broker: Any, observer: Observer) -> None:
    receive(observer, a_worker("a"))
    broker.now = 106.0
    assert len((await observer.look(broker)).processes) == 1
    broker.now = 106.1
    (hanging,) = (await observer.look(broker)).processes
    assert hanging.silent_for > 6  # the broker still counts its consumer
    broker.depth["bridge.present.inbound"] = Depth(0, 0)
    assert (await observer.look(broker)).processes == []


async def test_of_consumers_without_a_presence_queue_one_that_does_not_report_is_noticed(
    broker: Any, observer: Observer
) -> None:
    broker.missing |= {f"bridge.present.{what}" for what in ("inbound", "replies.slack", "webhook")}
    broker.depth = dict.fromkeys(
        ("bridge.replies.slack.00", "bridge.replies.slack.01"), Depth(0, 0)
    )
    for broker.now in (100.0, 104.0, 107.0):
        receive(observer, a_worker("a"))
        receive(observer, a_worker("b"))
        snapshot = await observer.look(broker)
    assert (snapshot.silent, inbound(snapshot).depth_at_least) == ([], False)
    for broker.now in (114.0, 121.0):
        snapshot = await observer.look(broker)
    (silent,) = snapshot.silent
    assert (silent.flow, silent.number, silent.reporting) == ("inbound", 1, 0)
    assert inbound(snapshot).is_depth_unknown


async def test_a_webhook_that_hangs_is_noticed_and_one_that_is_gone(
    broker: Any, observer: Observer
) -> None:
    broker.depth["bridge.present.replies.slack"] = Depth(0, 0)
    for broker.now in (100.0, 102.0):
        receive(observer, a_worker("a"))
        receive(observer, a_webhook("b"))
        snapshot = await observer.look(broker)
    assert (snapshot.silent, snapshot.webhooks, snapshot.acknowledged) == ([], 1, 0.0)
    for broker.now in (104.0, 106.0, 108.0, 110.0):
        receive(observer, a_worker("a"))
        snapshot = await observer.look(broker)
    (silent,) = snapshot.silent
    assert (silent.flow, silent.reporting, silent.names) == ("webhook", 0, ["webhook b:1:ff"])
    assert (snapshot.webhooks, snapshot.acknowledged) == (1, None)
    broker.depth["bridge.present.webhook"] = Depth(0, 0)
    snapshot = await observer.look(broker)
    assert (snapshot.silent, snapshot.webhooks) == ([], 0)
    assert [process.role for process in snapshot.processes] == ["worker"]


async def test_a_webhook_that_hangs_is_noticed_although_it_started_after_the_monitor(
    broker: Any, observer: Observer
) -> None:
    broker.missing.add("bridge.present.webhook")
    await observer.look(broker)
    broker.missing.remove("bridge.present.webhook")
    broker.now = 102.0
    receive(observer, a_webhook("a"))
    await observer.look(broker)
    broker.now = 110.0
    snapshot = await observer.look(broker)
    assert [silent.names for silent in snapshot.silent if silent.flow == "webhook"] == [
        ["webhook a:1:ff"]
    ]


async def test_one_look_waits_until_a_consumer_of_an_earlier_version_is_known_to_hang(
    broker: Any, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no presence queue, so it is noticed only once all reports should have arrived."""

    async def sleep(seconds: float) -> None:
        broker.now += seconds

    async def listen(connection: Any) -> bool:
        return True

    monkeypatch.setattr("bridge.monitor.observer.asyncio.sleep", sleep)
    monkeypatch.setattr(observer, "listen", listen)
    broker.missing |= {f"bridge.present.{what}" for what in ("inbound", "replies.slack", "webhook")}
    snapshot = await observer.look_once(broker)
    assert {(silent.flow, silent.number) for silent in snapshot.silent} == {
        ("inbound", 1),
        ("replies", 1),
    }


async def test_a_report_from_another_version_is_ignored(broker: Any, observer: Observer) -> None:
    observer._take(b'{"v": 99}')
    assert (await observer.look(broker)).sources == ["amqp"]


def test_a_process_that_is_gone_disappears_from_the_metrics() -> None:
    def held(host: str) -> float | None:
        labels = {"flow": "inbound", "channel": "", "process": f"worker {host}:1:ff"}
        return REGISTRY.get_sample_value("rasa_bridge_partitions_held", labels)

    export(see(a_worker("a"), a_worker("b")))
    assert (held("a") or 0) + (held("b") or 0) == 4
    export(see(a_worker("b")))
    assert (held("a"), held("b")) == (None, 4)


async def test_only_until_every_flow_has_a_process_again_processes_connect_again(
    broker: Any, observer: Observer
) -> None:
    observer._roster.reconnected(broker.now)
    broker.depth[FIRST] = Depth(0, 0)
    broker.depth["bridge.present.inbound"] = Depth(0, 0)
    assert (await observer.look(broker)).is_recovering
    broker.depth["bridge.present.inbound"] = Depth(0, 1)
    assert not (await observer.look(broker)).is_recovering
    broker.depth["bridge.present.inbound"] = Depth(0, 0)
    assert not (await observer.look(broker)).is_recovering
