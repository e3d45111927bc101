"""A confirm that does not come in time, on a real RabbitMQ."""

from __future__ import annotations

import pytest

from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable
from tests.support.broker import Broker
from tests.support.links import up
from tests.support.waiting import eventually


async def test_a_publisher_that_misses_a_confirm_goes_on_with_another_channel(
    broker: Broker, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    topology = Topology(namespace, inbound_partitions=1)
    publisher = Publisher(broker.url, "test", topology, confirm_timeout=1.0)
    where = topology.inbound_exchange, topology.inbound_key("c")
    async with up(publisher):
        connection = publisher._connection
        assert connection is not None
        (first,) = connection.health.publishing
        with pytest.raises(BrokerUnavailable) as missed:
            await publisher.publish(*where, b"{}", kind="test", message_id="1", timeout=0.0)
        assert missed.value.unconfirmed
        await eventually(lambda: "using another channel" in caplog.text)
        await publisher.publish(*where, b"{}", kind="test", message_id="2")
        # The first channel closes, and the connection stays.
        await eventually(lambda: first not in connection.health.publishing)
        await publisher.publish(*where, b"{}", kind="test", message_id="3")
        assert publisher._connection is connection
