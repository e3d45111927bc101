"""Processes that pause for longer than the broker waits: SIGSTOP, as a suspended machine."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.broker import Broker
from tests.support.processes import Process
from tests.support.system import CONCURRENCY, System, longer
from tests.support.waiting import eventually

HEARTBEAT = longer(2, 10)
PAUSE = longer(8.0, 60.0)
"""Seconds: long enough for RabbitMQ to drop the connections."""
RECONNECTED = longer(10.0, 2.0)
"""Seconds; measured 0.3 to 0.7 on an idle machine."""


async def connected_again(process: Process, before: int) -> float:
    """Return the seconds until a process has reconnected.

    That is its first link: a consumer says so after it has begun with its backlog.
    """
    began = time.monotonic()
    await process.prints("connected to amqp", before + 1)
    return time.monotonic() - began


@pytest.mark.parametrize("role", ["webhook", "worker", "deliver", "all"])
async def test_a_frozen_process_carries_on(system: System, broker: Broker, role: str) -> None:
    """Frozen under load, it stays alive, reconnects within 2 s, and nothing is lost."""
    endpoints = (system.project.directory / "endpoints.yml").read_text()
    there, with_heartbeat = f":{broker.port}/", f":{broker.port}/?heartbeat={HEARTBEAT}"
    system.project.write("endpoints.yml", endpoints.replace(there, with_heartbeat))
    webhooks, workers, deliver = await system.start()
    roles = {"webhook": [webhooks[0]], "worker": [workers[0]], "deliver": [deliver]}
    frozen = roles.get(role, [*webhooks, *workers, deliver])
    links = {process: process.log.count("connected to amqp") for process in frozen}
    async with system.load.running(conversations=20, rate=60):
        await system.progress()
        for process in frozen:
            process.freeze()
        await asyncio.sleep(PAUSE)
        for process in frozen:
            process.thaw()
        times = await asyncio.gather(*(connected_again(p, n) for p, n in links.items()))
        print(f"{role}: reconnected after {max(times):.2f} s")
        assert max(times) < RECONNECTED, "\n".join(p.log for p in frozen)
        await asyncio.gather(*(p.prints("connected to amqp", 2 * n) for p, n in links.items()))
        await system.progress()
    assert [p.popen.poll() for p in (*webhooks, *workers, deliver)] == [None] * 5
    ledger = await system.load.settled()
    # What the frozen processes were running was redelivered meanwhile.
    ledger.check(repeated_turns=2 * CONCURRENCY, repeated_replies=CONCURRENCY * 4)
    await eventually(lambda: all("Traceback" not in process.log for process in frozen))
