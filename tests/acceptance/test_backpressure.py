"""An assistant that is slower than its users: the backlog waits in RabbitMQ and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from bridge.broker.connection import connect
from tests.support.broker import Broker, free_port, make_broker
from tests.support.ledger import Entry
from tests.support.load import HANDLER, Load
from tests.support.processes import Project
from tests.support.service import FakeService
from tests.support.waiting import eventually

PARTITIONS = 4
PREFETCH = 16
STUCK = """
import asyncio


async def handle(message, output):
    await asyncio.sleep(3600)
"""


class Backlog:
    """A project, its load and its ledger; the test itself starts the roles."""

    def __init__(self, project: Project, service: FakeService) -> None:
        self.project = project
        self.port = free_port()
        self.load = Load(project, service, [self.port])
        project.write("credentials.yml", f"callback:\n  url: {service.url}\n")
        project.write("stuck.py", STUCK)
        project.write("handler.py", HANDLER)

    async def waiting(self) -> int:
        """Return the number of inbound messages that the broker has not handed to a consumer."""
        namespace = self.project.namespace
        async with connect(self.project.broker_url, "test") as connection:
            names = [f"{namespace}.inbound.{n:02}" for n in range(PARTITIONS)]
            return sum([await connection.ready_messages(name) or 0 for name in names])

    async def post(self, http: aiohttp.ClientSession, number: int) -> aiohttp.ClientResponse:
        """Send one message of the conversation c0 and record it in the ledger."""
        url = f"http://127.0.0.1:{self.port}/webhooks/callback/webhook"
        text = f"c0/{number}"
        body = {"sender": "c0", "message": text, "message_id": text}
        ledger = self.load.ledger
        ledger.sent.append(Entry("c0", number))
        async with http.post(url, json=body) as response:
            await response.read()
            if response.status == 200:
                ledger.acknowledged.append(Entry("c0", number))
            return response


@pytest_asyncio.fixture
async def backlog(project: Project, service: FakeService) -> Backlog:
    return Backlog(project, service)


@pytest.fixture
def limited_broker() -> Iterator[Broker]:
    broker = make_broker(management=True)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest_asyncio.fixture
async def limited(
    limited_broker: Broker, namespace: str, tmp_path: Path, service: FakeService
) -> AsyncIterator[Backlog]:
    project = Project(tmp_path, limited_broker.url, namespace)
    yield Backlog(project, service)
    project.close()


async def test_a_backlog_is_acknowledged_and_waits_in_the_broker_for_a_fast_worker(
    backlog: Backlog,
) -> None:
    load = backlog.load
    _, worker, _ = await asyncio.gather(
        backlog.project.webhook(backlog.port),
        backlog.project.worker(
            "--handler", "stuck:handle", "--prefetch", str(PREFETCH), "--grace", "0"
        ),
        backlog.project.deliver(),
    )
    await load.backlog(conversations=200, each=10)
    assert len(load.ledger.acknowledged) == 2000
    assert load.refusals == set()
    # The worker holds every message that does not wait in the broker.
    held = len(load.ledger.acknowledged) - await backlog.waiting()
    assert 0 < held <= PREFETCH * PARTITIONS
    worker.terminate()
    await worker.ends()
    await backlog.project.worker("--handler", "handler:handle")
    (await load.settled()).check()


async def test_the_webhook_answers_503_while_a_queue_is_full(
    limited: Backlog, limited_broker: Broker
) -> None:
    await limited.project.webhook(limited.port)
    pattern = f"^{limited.project.namespace}\\.inbound\\."
    await asyncio.to_thread(limited_broker.limit_queues, pattern, 5)
    async with aiohttp.ClientSession() as http:
        for number in range(100):
            answer = await limited.post(http, number)
            if answer.status != 200:
                break
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert number >= 5
        assert await limited.waiting() == len(limited.load.ledger.acknowledged)
        # The refused message was not enqueued, so sending it again is not a repeat.
        assert (await limited.post(http, number)).status == 503
        await asyncio.gather(
            limited.project.worker("--handler", "handler:handle"), limited.project.deliver()
        )

        async def taken() -> bool:
            return (await limited.post(http, number)).status == 200

        await eventually(taken, "the webhook takes messages again")
        (await limited.load.settled()).check()
