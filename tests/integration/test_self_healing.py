"""What an administrator unbinds or deletes while everything runs is declared again."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from bridge.broker import resize
from bridge.broker.connection import Connection, connect
from bridge.broker.declare import ensure_topology
from bridge.broker.private import PrivateQueue
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.resize import Resize
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable, Unroutable
from bridge.messages import InboundMessage, ReplyTo
from tests.support.broker import Broker, free_port
from tests.support.fakes import a_reply, an_inbound
from tests.support.handlers import ECHO
from tests.support.links import up
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

HEALED = 40.0
"""Seconds: two repairs take 10 on a machine that is not busy."""


@pytest.fixture
def topology(namespace: str) -> Topology:
    return Topology(namespace, inbound_partitions=4, reply_partitions=2, channels=("callback",))


async def waiting(connection: Connection, topology: Topology) -> int:
    depths = await connection.depths(queue.name for queue in topology.queues())
    return sum(depth.ready for depth in depths.values())


@pytest.mark.parametrize(
    "what", ["unbound", "queue deleted", "last one deleted", "exchange deleted"]
)
async def test_no_message_is_refused_because_of_what_an_administrator_removed(
    broker: Broker, topology: Topology, what: str
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    async with up(publisher), connect(broker.url, "administrator") as connection:
        if what == "unbound":
            await connection.unbind(list(topology.queues()))
        elif what == "last one deleted":
            for flow in topology.flows():
                await connection.delete(queue=flow[-1].name)
        elif what == "queue deleted":
            for queue in topology.queues():
                await connection.delete(queue=queue.name)
        else:
            for exchange in topology.exchanges:
                await connection.delete(exchange=exchange)
        began = time.monotonic()
        await asyncio.gather(
            *(queues.put_inbound(an_inbound(f"e{n}", sender_id=f"u{n}")) for n in range(20)),
            *(
                until_confirmed(lambda n=n: queues.put_reply(a_reply(f"e{n}:0")), "reply")  # type: ignore[misc]
                for n in range(5)
            ),
        )
        assert time.monotonic() - began < HEALED
        assert queues.problem() == ""
        assert await waiting(connection, topology) >= 25


async def test_replies_whose_exchange_was_missing_are_not_repeated_without_a_mark(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    async with up(publisher), connect(broker.url, "administrator") as connection:
        await connection.delete(exchange=topology.replies_exchange)
        replies = (queues.put_reply(a_reply(f"e{n}:0")) for n in range(2))
        for error in await asyncio.gather(*replies, return_exceptions=True):
            assert isinstance(error, BrokerUnavailable)
            assert error.unconfirmed
        assert await waiting(connection, topology) == 0
        await queues.put_reply(a_reply("e1:0"))
        assert await waiting(connection, topology) == 1


async def test_a_private_queue_survives_the_deletion_of_its_exchange(
    broker: Broker, topology: Topology
) -> None:
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    received: list[str | None] = []
    private = PrivateQueue(
        broker.url, "private", topology, lambda d: received.append(d.message_id), lambda: None
    )
    async with up(publisher, private), connect(broker.url, "administrator") as connection:
        assert private.queue is not None
        reply_to = ReplyTo(private.queue, "ticket")
        await connection.delete(exchange=topology.private_exchange)
        await until_confirmed(
            lambda: queues.put_reply(a_reply("e1:0"), reply_to), "reply", final=(Unroutable,)
        )
        await eventually(lambda: received == ["e1:0"])
        assert private.problem == ""


async def test_a_private_queue_that_is_gone_stays_unroutable(
    broker: Broker, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.broker.publisher.SETTLE", 0.0)
    publisher = Publisher(broker.url, "test", topology)
    async with up(publisher):
        with pytest.raises(Unroutable):
            await Queues(publisher, topology).put_reply(a_reply(), ReplyTo("gone", "ticket"))


async def test_a_resize_is_not_undone(
    broker: Broker, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, and after it, publishers with the old number are refused and say why."""
    monkeypatch.setattr(resize, "SETTLE", 0.5)
    monkeypatch.setattr("bridge.broker.repair.EVERY", 0.5)
    new = Topology(topology.namespace, 3, topology.reply_partitions, topology.channels)
    publisher = Publisher(broker.url, "test", topology)
    queues = Queues(publisher, topology)
    told: list[str] = []

    async def refused(message: InboundMessage) -> bool:
        try:
            await queues.put_inbound(message)
        except BrokerUnavailable:
            return True
        return False

    async with up(publisher), connect(broker.url, "administrator") as connection:
        await queues.put_inbound(an_inbound("first"))
        changing = asyncio.create_task(Resize(connection, topology, new, told.append).run())
        await eventually(lambda: told, "it waits for the first message")
        for n in range(8):
            assert await refused(an_inbound(f"e{n}"))
            await asyncio.sleep(0.2)
        assert "number of partitions" in queues.problem()
        # The message that the resize waits for is taken away.
        for queue in topology.inbound_queues():
            async with connect(broker.url, "worker") as other:
                channel = await other.consumer_channel(10)
                await channel.consume(queue.name, lambda delivery: None, no_ack=True)
                await channel.close()
        await asyncio.wait_for(changing, 30)
        assert await refused(an_inbound("late"))
        assert "partitions" in queues.problem()
        await ensure_topology(connection, new)


async def test_a_webhook_never_refuses_and_a_worker_never_dead_letters(
    project: Project, service: FakeService, broker: Broker, namespace: str
) -> None:
    project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
    project.write("handler.py", ECHO)
    port = free_port()
    await asyncio.gather(
        project.webhook(port), project.worker("--handler", "handler:handle"), project.deliver()
    )
    topology = Topology(namespace, 4, 2, ("callback",))
    sent = 0
    async with aiohttp.ClientSession() as http, connect(broker.url, "administrator") as connection:

        async def send(number: int) -> None:
            nonlocal sent
            for _ in range(number):
                sent += 1
                body = {"sender": f"u{sent}", "message": str(sent), "message_id": str(sent)}
                url = f"http://127.0.0.1:{port}/webhooks/callback/webhook"
                async with http.post(url, json=body) as response:
                    assert response.status == 200, await response.text()

        await send(5)
        await connection.unbind(topology.inbound_queues())
        await send(10)
        await connection.delete(exchange=topology.replies_exchange)
        await send(10)
        await eventually(lambda: len({call.body["text"] for call in service.accepted}) == sent)
        names = [queue.name for queue in topology.dead_queues()]
        assert sum(d.ready for d in (await connection.depths(names)).values()) == 0
