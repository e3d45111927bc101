"""A memory alarm of RabbitMQ: publishers are held, told, and go on once it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import pytest

from bridge.broker.connection import connect
from bridge.broker.links import Link
from bridge.broker.publisher import Publisher
from bridge.broker.queues import Queues, until_confirmed
from bridge.broker.topology import Topology
from bridge.errors import BrokerUnavailable
from bridge.messages import Reply
from bridge.monitor.compose import ACCEPTS_NOTHING
from bridge.monitor.observer import Observer
from bridge.runtime.role import close
from bridge.telemetry.reports import KEY, Reporter
from tests.support.broker import Broker, free_port, make_broker
from tests.support.cli import run_bridge
from tests.support.fakes import a_reply
from tests.support.processes import Project
from tests.support.waiting import eventually

BLOCKED = "RabbitMQ blocks publishers: memory alarm"
AT_ONCE = 4.0
"""Seconds: less than the 5 that a publisher waits for a confirm."""


@pytest.fixture(scope="module")
def alarming() -> Iterator[Broker]:
    """A broker whose alarms disturb no other test."""
    broker = make_broker()
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture
def topology(namespace: str) -> Topology:
    return Topology(namespace, inbound_partitions=2, reply_partitions=2, channels=("callback",))


@asynccontextmanager
async def alarm(broker: Broker) -> AsyncIterator[None]:
    await asyncio.to_thread(broker.raise_memory_alarm)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.end_memory_alarm)


@asynccontextmanager
async def up(publisher: Publisher, topology: Topology) -> AsyncIterator[None]:
    """Run a publisher that reports, as every role does."""
    send = partial(publisher.unconfirmed.publish, topology.reports_exchange, KEY)
    reporter = Reporter("test", send)
    tasks = [asyncio.create_task(publisher.run()), asyncio.create_task(reporter.run())]
    try:
        yield
    finally:
        await close(tasks)


def connected(publisher: Link) -> bool:
    return publisher.ready.is_set()


async def test_an_alarm_holds_replies_without_reconnecting_and_its_end_releases_them_at_once(
    alarming: Broker, topology: Topology, console: pytest.LogCaptureFixture
) -> None:
    # Without a sign of life for 2.5 heartbeats, a connection counts as lost.
    publisher = Publisher(f"{alarming.url}?heartbeat=1", "test", topology)
    queues = Queues(publisher, topology)
    async with up(publisher, topology):
        await eventually(lambda: connected(publisher))
        assert queues.problem() == ""
        async with alarm(alarming):
            # It notices the alarm when it publishes its next report.
            await eventually(lambda: not connected(publisher))
            assert queues.problem() == BLOCKED
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="memory alarm"):
                await queues.put_reply(a_reply("e0:0"))
            assert time.monotonic() - began < AT_ONCE
            reply = a_reply("e1:0")
            held = asyncio.create_task(until_confirmed(lambda: queues.put_reply(reply), "reply"))
            # A connection that opens during the alarm shows it, too.
            other = Publisher(alarming.url, "other", topology)
            opening = asyncio.create_task(other.run())
            await eventually(lambda: other.problem == BLOCKED)
            assert not connected(other)
            await close([opening])
            while time.monotonic() - began < 4:
                assert not held.done()
                await asyncio.sleep(0.1)
        ended = time.monotonic()
        await held
        assert time.monotonic() - ended < AT_ONCE
        assert queues.problem() == ""
        async with connect(alarming.url, "look") as connection:
            names = [queue.name for queue in topology.reply_queues("callback")]
            depths = await connection.depths(names)
            assert sum(depth.ready for depth in depths.values()) == 1
    mine = [line for line in console.messages if "test" in line or "RabbitMQ" in line]
    assert mine.count(BLOCKED) == 2  # this publisher and the other one
    assert sum("accepts messages again" in line for line in mine) == 1
    assert sum("not connected" in line for line in console.messages) == 0
    assert isinstance(reply, Reply)


async def test_every_role_says_at_once_that_the_broker_blocks_it(
    alarming: Broker, namespace: str, project: Project
) -> None:
    project.write(
        "endpoints.yml",
        f"bridge:\n  url: {alarming.url}\n  namespace: {namespace}\n"
        "  partitions: {inbound: 2, replies: 2}\n",
    )
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1/\n")
    port = free_port()
    webhook = await project.webhook(port)
    url = f"http://127.0.0.1:{port}"
    body = {"sender": "ada", "message": "hi", "message_id": "1"}
    async with aiohttp.ClientSession() as http:

        async def status(path: str) -> tuple[int, str]:
            async with http.get(url + path) as response:
                return response.status, await response.text()

        async with alarm(alarming):

            async def unready() -> bool:
                return (await status("/readyz"))[0] == 503

            await eventually(unready)
            async with http.post(f"{url}/webhooks/callback/webhook", json=body) as refused:
                assert refused.status == 503
                assert int(refused.headers["Retry-After"]) >= 1

        async def ready() -> bool:
            return (await status("/readyz"))[0] == 200

        await eventually(ready)
        async with http.post(f"{url}/webhooks/callback/webhook", json=body) as accepted:
            assert accepted.status == 200
    assert webhook.log.count(f"]: {BLOCKED}\n") == 1
    assert "not connected" not in webhook.log


async def test_processes_that_cannot_report_because_of_an_alarm_do_not_hang(
    alarming: Broker, namespace: str, project: Project
) -> None:
    """Without the management API, too: nothing else would tell an operator of the alarm."""
    project.write(
        "endpoints.yml",
        f"bridge:\n  url: {alarming.url}\n  namespace: {namespace}\n"
        "  partitions: {inbound: 2, replies: 2}\n",
    )
    project.write("credentials.yml", "callback:\n  url: http://127.0.0.1:1/\n")
    await asyncio.gather(project.webhook(free_port()), project.deliver())
    changes: list[str] = []
    topology = Topology(namespace, 2, 2, ["callback"])
    observer = Observer(alarming.url, topology, changed=lambda change: changes.append(change.kind))
    async with connect(alarming.url, "monitor") as connection:
        listening = await observer.listen(connection)
        assert listening is not None

        async def silent(number: int) -> bool:
            """Whether both processes are shown, and so many of them as silent."""
            processes = (await observer.look(connection)).processes
            return (len(processes), sum(p.silent_for > 0 for p in processes)) == (2, number)

        await eventually(lambda: silent(0))
        async with alarm(alarming):
            await eventually(lambda: silent(2))
            snapshot = await observer.look(connection)
            line = f"RabbitMQ has a memory alarm: {ACCEPTS_NOTHING}"
            assert snapshot.alarms == [line]
            assert snapshot.alarms_since is not None
            assert snapshot.silent == []
            nowhere = ("--management-url", "http://127.0.0.1:1")
            ran = await asyncio.to_thread(
                run_bridge, project.directory, "status", "--json", *nowhere
            )
            assert ran.returncode == 1
            assert line in ran.stderr
            assert "report since" not in ran.stderr
        await eventually(lambda: silent(0))
        assert (await observer.look(connection)).alarms == []
        await listening.close()
    assert changes == ["started", "started"]
