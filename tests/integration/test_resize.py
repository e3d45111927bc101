"""Changing the number of partitions: under traffic, interrupted at every step, or refused."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace

import pytest

from bridge.broker.connection import connect
from bridge.broker.declare import check_topology, ensure_topology
from bridge.broker.resize import Resize
from bridge.broker.topology import Depth, Topology
from bridge.errors import TopologyError, Unroutable
from bridge.messages import Delivery
from tests.support.broker import Broker
from tests.support.cli import run_bridge
from tests.support.processes import Process, Project
from tests.support.service import FakeService
from tests.support.system import System
from tests.support.waiting import eventually


def set_partitions(project: Project, inbound: int, replies: int) -> None:
    head = f"bridge:\n  url: {project.broker_url}\n  namespace: {project.namespace}\n"
    numbers = f"  partitions: {{inbound: {inbound}, replies: {replies}}}\n"
    project.write("endpoints.yml", head + numbers)


async def stop_all(*processes: Process) -> None:
    for process in processes:
        process.terminate()
    await asyncio.gather(*(process.ends() for process in processes))


async def test_conversations_stay_in_order_while_partitions_grow_and_shrink(
    project: Project, service: FakeService
) -> None:
    """4 → 8 and 8 → 3 inbound, 2 → 1 replies, with webhooks running and senders that retry."""
    set_partitions(project, 4, 2)
    system = System(project, service)
    webhooks, workers, deliver = await system.start()

    async def resized(*arguments: str, stop: dict[str, list[Process]]) -> None:
        command = project.bridge("topology", "resize", *arguments)
        for role, processes in stop.items():
            await command.prints(f"stop every {role}")
            # A role stopped earlier requeues its prefetched messages, and is asked for again.
            await system.load.settled()
            await stop_all(*processes)
        assert await command.ends() == 0, command.log

    async with system.load.running(conversations=20, rate=60):
        await system.progress()
        await resized("--inbound", "8", stop={"worker": workers})
        refused = run_bridge(project.directory, "worker", "--handler", "handler:handle")
        assert refused.returncode == 1
        assert f"{project.namespace}.inbound.04 exists, so another process" in refused.stderr

        set_partitions(project, 8, 2)
        workers = [await system.worker()]
        # One webhook still has the old number, and must refuse messages.
        await stop_all(webhooks[0])
        webhooks[0] = await project.webhook(system.ports[0])
        await system.progress()
        await stop_all(webhooks[1])
        webhooks[1] = await project.webhook(system.ports[1])
        await system.progress()

        await resized("--inbound=3", "--replies=1", stop={"worker": workers, "deliver": [deliver]})
        refused = run_bridge(project.directory, "deliver")
        assert refused.returncode == 1
        assert f"{project.namespace}.inbound.07 does not" in refused.stderr

        set_partitions(project, 3, 1)
        await stop_all(*webhooks)
        await system.start(workers=1)
        await system.progress()
    ledger = await system.load.settled()
    ledger.check()
    assert 503 in system.load.refusals
    queues = Topology(project.namespace, 9, 3, ["callback"]).flows()
    async with connect(project.broker_url, "test") as connection:
        existing = [len(await connection.depths(q.name for q in flow)) for flow in queues]
    assert existing == [3, 3, 3, 1]


async def test_resize_says_what_to_start_and_stop_and_an_interrupted_one_accepts_messages_again(
    project: Project,
) -> None:
    project.write("credentials.yml", "rest:\n")
    project.write("nothing.py", "async def handle(message, output): pass\n")
    assert "acknowledged" in run_bridge(project.directory, "send", "x", "--timeout=0.1").stdout
    command = project.bridge("topology", "resize", "--inbound", "5")
    await command.prints("1 messages wait: start a worker again")
    await project.worker("--handler", "nothing:handle")
    await command.prints("stop every worker: 12 queues still have a consumer")
    ours = Topology(project.namespace, 4, 2)
    async with connect(project.broker_url, "test") as connection:
        channel = await connection.confirm_channel()

        async def is_taken() -> bool:
            try:
                await channel.publish(
                    ours.inbound_exchange, "00/4", b"{}", kind="x", message_id="x", timeout=5
                )
            except Unroutable:
                return False
            return True

        assert not await is_taken()
        status = await asyncio.to_thread(run_bridge, project.directory, "status", "--json")
        assert status.returncode == 1
        assert "partitions is being changed since" in status.stderr
        assert "webhooks answer 503" in status.stderr
        command.popen.send_signal(signal.SIGINT)
        assert await command.ends() == 1
        assert await is_taken()
        await check_topology(connection, ours)


async def test_numbers_other_than_the_current_ones_are_refused(
    broker: Broker, namespace: str
) -> None:
    there, fewer, more = (Topology(namespace, n, 2, ["callback"]) for n in (4, 3, 5))
    other_replies = replace(there, reply_partitions=3)
    told: list[str] = []
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, there)
        for wrong, new in ((fewer, more), (more, fewer), (other_replies, more)):
            with pytest.raises(TopologyError, match="other numbers of partitions than endpoints"):
                await Resize(connection, wrong, new, told.append).run()
        await Resize(connection, fewer, there, told.append).run()
    assert told == ["the broker already has these numbers of partitions"]


def test_nothing_to_change_is_one_line(project: Project) -> None:
    project.write("credentials.yml", "rest:\n")
    ran = run_bridge(project.directory, "topology", "resize", "--inbound=4", "--replies=2")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith("rasa-bridge: nothing to change; ")


async def test_messages_are_requeued_before_their_consumer_is_gone(
    broker: Broker, namespace: str
) -> None:
    """The standstill relies on it: no consumer and no waiting message means nothing is unacked."""
    topology = Topology(namespace, 1, 1)
    queue = topology.inbound_queue(0)
    async with connect(broker.url, "test") as connection:
        await ensure_topology(connection, topology)
        publisher = await connection.confirm_channel()
        for n in range(20):
            await publisher.publish("", queue, b"", kind="x", message_id=str(n), timeout=5)
        for _ in range(20):
            held: list[Delivery] = []
            async with connect(broker.url, "consumer") as other:
                channel = await other.consumer_channel(prefetch=20)
                await channel.consume(queue, held.append)
                await eventually(lambda held=held: len(held) == 20)
                assert await connection.depths([queue]) == {queue: Depth(0, 1)}
                closing = asyncio.ensure_future(channel.close())
                seen = set()
                for _ in range(1000):
                    seen |= set((await connection.depths([queue])).values())
                    if Depth(20, 0) in seen:
                        break
                await closing
            assert {Depth(20, 0)} <= seen <= {Depth(0, 1), Depth(20, 0)}
