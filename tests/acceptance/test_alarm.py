"""A memory alarm of RabbitMQ under load: everything is held, nothing is charged to a message."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp

from tests.support.broker import Broker
from tests.support.processes import Process
from tests.support.system import CONCURRENCY, System, longer
from tests.support.waiting import eventually

LASTS = longer(8.0, 150.0)
"""Seconds of the alarm."""
REASON = "RabbitMQ blocks publishers: memory alarm"


def connected(roles: Sequence[Process]) -> list[int]:
    """Return how often each role has connected, except to write its trace: that may end alone."""
    return [
        role.log.count("connected to amqp") - role.log.count("writing the trace") for role in roles
    ]


async def test_an_alarm_holds_all_work_and_its_end_releases_it(
    own_system: System, own_broker: Broker, http: aiohttp.ClientSession
) -> None:
    load = own_system.load
    webhooks, workers, deliver = await own_system.start()
    roles = [*webhooks, *workers, deliver]
    async with load.running(conversations=20, rate=60):
        await own_system.progress()
        await asyncio.to_thread(own_broker.raise_memory_alarm)
        await asyncio.gather(*(role.prints(REASON) for role in roles))
        links = connected(roles)
        async with http.get(f"http://127.0.0.1:{own_system.ports[0]}/readyz") as response:
            assert response.status == 503
        await asyncio.sleep(LASTS)
        delivered = len(load.read().delivered)
        await asyncio.to_thread(own_broker.end_memory_alarm)
        ended = time.monotonic()
        await eventually(lambda: len(load.read().delivered) > delivered)
        print(f"the first reply came {time.monotonic() - ended:.2f} s after the end of the alarm")
        await own_system.progress(100)
    ledger = await load.settled()
    assert load.refusals <= {503}
    # A publish that waits for its confirm when the alarm begins may be published twice.
    ledger.check(repeated_replies=2 * CONCURRENCY)
    assert connected(roles) == links, "\n".join(role.log for role in roles)
    assert not any("attempt failed" in role.log for role in roles)
