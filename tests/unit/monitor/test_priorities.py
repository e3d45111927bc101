"""An inbound partition on screen has the messages of all its queues."""

from __future__ import annotations

from bridge.broker.topology import Depth
from bridge.telemetry.reports import HeldMessages
from tests.unit.monitor.test_compose import FIRST, a_worker, inbound, see

HIGH, LOW = "bridge.inbound.high.00", "bridge.inbound.low.00"


def test_the_depth_of_a_partition_includes_urgent_and_bulk_messages() -> None:
    held = {FIRST: HeldMessages(3, 90.0), HIGH: HeldMessages(1, 98.0)}
    depths = {FIRST: Depth(20, 1), HIGH: Depth(2, 1), LOW: Depth(500, 1)}
    flow = inbound(see(a_worker("a", held), depths=depths))
    assert (flow.ready, flow.unacked, flow.depth) == (522, 4, 526)
    assert len(flow.partitions) == 4
    assert flow.partitions[0].queue == FIRST
    assert flow.oldest_age == 9.0


def test_a_partition_without_a_consumer_for_urgent_messages_has_none() -> None:
    """For example, because the workers are of an older version."""
    assert inbound(see(a_worker("a"), depths={HIGH: Depth(0, 0)})).consumers == 0


def test_the_oldest_message_may_wait_on_any_queue() -> None:
    flow = inbound(see(depths={LOW: Depth(5, 0)}, waiting_since={LOW: 40.0}))
    assert (flow.oldest_age, flow.at_least) == (60.0, True)


def test_a_broker_without_the_further_queues_still_shows_its_partitions() -> None:
    flow = inbound(see(depths={HIGH: None, LOW: None, FIRST: Depth(7, 1)}))
    assert flow.partitions[0].ready == 7
