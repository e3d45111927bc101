"""Killed processes and broker restarts under load: the ledger balances."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.broker import Broker
from tests.support.system import CONCURRENCY, System, longer


async def test_killed_workers_lose_and_reorder_nothing(system: System) -> None:
    kills = longer(6, 24)
    _, workers, _ = await system.start(workers=2)
    async with system.load.running(conversations=20, rate=100):
        for _ in range(kills):
            await system.progress(random.randint(5, 30))
            victim = workers.pop(0)
            victim.kill()
            workers.append(await system.worker())
    ledger = await system.load.settled()
    # Without a tracker, a worker's memory of ids dies with it, so its running turns run again.
    ledger.check(repeated_turns=kills * CONCURRENCY)


async def test_a_killed_deliver_process_repeats_at_most_the_replies_it_was_posting(
    system: System,
) -> None:
    kills = longer(3, 12)
    _, _, deliver = await system.start()
    async with system.load.running(conversations=20, rate=100):
        for _ in range(kills):
            await system.progress(random.randint(5, 30))
            deliver.kill()
            deliver = await system.project.deliver()
    ledger = await system.load.settled()
    ledger.check(repeated_replies=kills * 20)


async def test_a_killed_webhook_loses_no_acknowledged_message(system: System) -> None:
    webhooks, _, _ = await system.start()
    async with system.load.running(conversations=20, rate=100):
        for n in range(longer(4, 12)):
            await system.progress(random.randint(5, 30))
            webhooks[n % 2].kill()
            webhooks[n % 2] = await system.project.webhook(system.ports[n % 2])
    (await system.load.settled()).check()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_every_process_survives_a_broker_restart(
    own_system: System, own_broker: Broker, how: str
) -> None:
    times = longer(1, 3)
    webhooks, workers, deliver = await own_system.start()
    async with own_system.load.running(conversations=20, rate=60):
        for _ in range(times):
            await own_system.progress()
            await asyncio.to_thread(getattr(own_broker, how))
            await asyncio.to_thread(own_broker.start)
        await own_system.progress()
    assert [p.popen.poll() for p in (*webhooks, *workers, deliver)] == [None] * 5
    ledger = await own_system.load.settled()
    assert own_system.load.refusals <= {503}
    ledger.check(repeated_turns=times * CONCURRENCY * 2, repeated_replies=times * CONCURRENCY * 2)


async def test_roles_started_before_the_broker_report_it_and_work_once_it_is_up(
    own_system: System, own_broker: Broker
) -> None:
    await asyncio.to_thread(own_broker.stop)
    project, ports = own_system.project, own_system.ports
    early = [
        project.bridge("webhook", "-i", "127.0.0.1", "-p", str(ports[0])),
        project.bridge("webhook", "-i", "127.0.0.1", "-p", str(ports[1])),
        project.bridge("worker", "--handler", "handler:handle"),
        project.bridge("deliver"),
    ]
    for process in early:
        await process.prints("not connected")
    await asyncio.to_thread(own_broker.start)
    async with own_system.load.running(conversations=5, rate=20):
        await own_system.progress()
    (await own_system.load.settled()).check()
