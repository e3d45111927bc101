"""Leader changes in a real three-node cluster: every role continues and none restarts.

Every process is connected to node 0, while node 1 leads the queues.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bridge.broker.publisher import Publisher
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable
from tests.support.cluster import Cluster, way
from tests.support.declared import declare_as_before
from tests.support.handlers import SLOW_THEN_QUICK
from tests.support.links import up
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.system import CONCURRENCY, System
from tests.support.waiting import eventually

RECOVERY = 30.0
"""Seconds within which consuming must resume: twice what is documented, since three nodes and all
roles share two cores with other tests here. So is the time of the others."""
FROZEN = 30.0
"""Seconds within which a publisher must continue although a node hangs: the others elect a leader
after about 10 s, and the publisher notices within 5 s."""
FAILOVER = 20.0
"""Seconds within which the clients of a killed node must continue."""
CONVERSATIONS = 20
QUEUES = 27
"""Four inbound partitions with three queues each, two reply queues, two dead-letter queues,
and eleven of reminders."""
LISTED = ("inbound", "replies", "dead", "reminders")
"""The topology does not list the queues of presence and pauses, and the stream of the trace."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    how = way()
    if how is None:
        pytest.skip("a cluster needs an installed RabbitMQ 4, or Debian and root")
    cluster = Cluster(how)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def clustered(
    cluster: Cluster, namespace: str, tmp_path: Path, service: FakeService
) -> Iterator[System]:
    project = Project(tmp_path, cluster.url, namespace)
    yield System(project, service)
    project.close()
    cluster.revive()


async def leaders(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Return the leader of each listed queue that has one: a queue in an election has none."""
    found = await asyncio.to_thread(cluster.leaders, namespace)
    return {name: node for name, node in found.items() if name.split(".")[1] in LISTED}


async def move_leaders_to(
    cluster: Cluster, namespace: str, node: int, queues: int = QUEUES
) -> None:
    """Move the leaders of all queues of a namespace to a node; return once it leads them."""

    async def moved() -> bool:
        await asyncio.to_thread(cluster.move_leaders, namespace, node)
        found = list((await leaders(cluster, namespace)).values())
        return found == [cluster.names[node]] * queues

    await eventually(moved, f"node {node} leads every queue")


async def node_leads_nothing(cluster: Cluster, namespace: str, node: int) -> None:
    """Wait until other nodes lead all queues of a namespace."""

    async def left() -> bool:
        found = (await leaders(cluster, namespace)).values()
        return len(found) == QUEUES and cluster.names[node] not in found

    await eventually(left, f"other nodes than {node} lead every queue")


async def every_conversation_is_answered(system: System) -> None:
    """Wait until every conversation has an answer to a message sent after this call."""
    ledger = system.load.ledger
    sent_before = len(ledger.sent)

    def answered() -> bool:
        system.load.read()
        new = set(ledger.sent[sent_before:]) & set(ledger.delivered)
        return len({entry.conversation for entry in new}) == CONVERSATIONS

    await eventually(answered, f"every conversation is answered\n{ledger.table()}")


@pytest.mark.parametrize("how", ["killed", "moved"])
async def test_every_process_survives_a_leader_change(
    cluster: Cluster, clustered: System, how: str
) -> None:
    webhooks, workers, deliver = await clustered.start()
    async with clustered.load.running(CONVERSATIONS, rate=60):
        await clustered.progress()
        await move_leaders_to(cluster, clustered.project.namespace, 1)
        await clustered.progress()
        if how == "killed":
            await asyncio.to_thread(cluster.nodes[1].kill)
        else:
            await asyncio.to_thread(cluster.move_leaders, clustered.project.namespace, 2)
        began = time.monotonic()
        await every_conversation_is_answered(clustered)
        elapsed = time.monotonic() - began
        print(f"every conversation is answered again after {elapsed:.2f} s")
        assert elapsed < RECOVERY
        await node_leads_nothing(cluster, clustered.project.namespace, 1)
        if how == "killed":
            await asyncio.to_thread(cluster.nodes[1].start)
        await clustered.progress()
    assert [p.popen.poll() for p in (*webhooks, *workers, deliver)] == [None] * 5
    (await clustered.load.settled()).check()


async def test_a_publisher_continues_while_the_node_that_leads_the_queues_hangs(
    cluster: Cluster, namespace: str
) -> None:
    """Its channel published to the old leader and gets no confirm from the new one."""
    topology = Topology(namespace, inbound_partitions=1)
    publisher = Publisher(cluster.url, "publisher", topology)
    async with up(publisher):
        await move_leaders_to(cluster, namespace, 1, queues=16)
        cluster.nodes[1].freeze()
        where = topology.inbound_exchange, topology.inbound_key("c")
        began = time.monotonic()
        try:
            while True:
                assert time.monotonic() < began + FROZEN
                with suppress(BrokerUnavailable):
                    await publisher.publish(*where, b"{}", kind="test", message_id="1")
                    break
            print(f"confirmed again after {time.monotonic() - began:.2f} s")
        finally:
            cluster.nodes[1].thaw()


async def test_clients_of_a_killed_node_continue_on_another_one(
    cluster: Cluster, clustered: System
) -> None:
    """Every process has the list of nodes 1 and 2, so some of them are connected to node 1."""
    endpoints = (clustered.project.directory / "endpoints.yml").read_text()
    urls = f"[{cluster.nodes[1].url}, {cluster.nodes[2].url}]"
    clustered.project.write("endpoints.yml", endpoints.replace(cluster.url, urls))
    webhooks, workers, deliver = await clustered.start()
    async with clustered.load.running(CONVERSATIONS, rate=60):
        await clustered.progress()
        began = time.monotonic()
        await asyncio.to_thread(cluster.nodes[1].kill)
        await every_conversation_is_answered(clustered)
        elapsed = time.monotonic() - began
        print(f"every conversation is answered again after {elapsed:.2f} s")
        assert elapsed < FAILOVER
        await asyncio.to_thread(cluster.nodes[1].start)
    assert [p.popen.poll() for p in (*webhooks, *workers, deliver)] == [None] * 5
    (await clustered.load.settled()).check(repeated_turns=CONCURRENCY * 2, repeated_replies=99)


@pytest.fixture
def impatient(cluster: Cluster) -> Iterator[None]:
    """Make node 0 close a channel that holds a message for 3 s; the default is 30 minutes."""

    def set_limits(timeout: int, tick: int) -> None:
        for name, value in (("consumer_timeout", timeout), ("channel_tick_interval", tick)):
            cluster.evaluate(f"application:set_env(rabbit, {name}, {value}).")

    set_limits(3_000, 200)
    yield
    set_limits(1_800_000, 60_000)


@pytest.mark.usefixtures("impatient")
async def test_a_consumer_closed_by_the_broker_cancels_its_turn_and_consumes_again(
    clustered: System,
) -> None:
    """The broker closes the channel because of its consumer time-out; the queue stays."""
    await declare_as_before(clustered.project.broker_url, clustered.project.namespace, 4)
    clustered.project.write("handler.py", SLOW_THEN_QUICK)
    webhook = clustered.project.webhook(clustered.ports[0])
    _, worker, _ = await asyncio.gather(webhook, clustered.worker(), clustered.project.deliver())
    turns = clustered.project.directory / "turns.log"
    async with clustered.load.running(conversations=1, rate=2):
        await worker.prints("delivery acknowledgement on channel")
        await eventually(lambda: "c0/0 ended" in turns.read_text())
    assert worker.popen.poll() is None
    steps = [line for line in turns.read_text().splitlines() if line.startswith("c0/0 ")]
    assert steps == ["c0/0 began", "c0/0 cancelled", "c0/0 began", "c0/0 ended"]
