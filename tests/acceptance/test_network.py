"""A network that fails silently: packets stop, without FIN or RST."""

from __future__ import annotations

import asyncio

from tests.support.broker import Broker
from tests.support.handlers import SLOW_THEN_QUICK
from tests.support.proxy import Proxy
from tests.support.system import CONCURRENCY, System
from tests.support.waiting import eventually


async def test_a_silent_network_failure_is_noticed_and_another_worker_takes_over(
    system: System, broker: Broker
) -> None:
    """One of two workers loses its broker connection without FIN or RST."""
    proxy = Proxy(broker.port)
    await proxy.start()
    endpoints = (system.project.directory / "endpoints.yml").read_text()
    there, proxied = f":{broker.port}/", f":{proxy.port}/?heartbeat=2"
    system.project.write("proxied.yml", endpoints.replace(there, proxied))
    await system.start(workers=1)
    cut = await system.project.worker("--handler", "handler:handle", "--endpoints", "proxied.yml")
    try:
        async with system.load.running(conversations=20, rate=60):
            await system.progress()
            proxy.freeze()
            await cut.prints("not connected", patience=20)
            await system.progress(60)
            proxy.thaw()
            # The worker logs this at the start, and again after both of its links have reconnected.
            await cut.prints("consuming", count=2)
            await system.progress()
    finally:
        await proxy.stop()
    ledger = await system.load.settled()
    ledger.check(repeated_turns=CONCURRENCY)


async def test_the_turn_of_a_lost_connection_is_cancelled_before_it_runs_again(
    system: System, broker: Broker
) -> None:
    """A disconnected worker must not finish its slow turn while the turn runs a second time."""
    proxy = Proxy(broker.port)
    await proxy.start()
    endpoints = (system.project.directory / "endpoints.yml").read_text()
    there, proxied = f":{broker.port}/", f":{proxy.port}/?heartbeat=2"
    system.project.write("endpoints.yml", endpoints.replace(there, proxied))
    system.project.write("handler.py", SLOW_THEN_QUICK)
    worker = await system.worker()
    system.project.write("endpoints.yml", endpoints)
    await asyncio.gather(system.project.webhook(system.ports[0]), system.project.deliver())
    turns = system.project.directory / "turns.log"
    try:
        async with system.load.running(conversations=1, rate=2):
            await eventually(turns.exists)
            proxy.freeze()
            await worker.prints("not connected", patience=20)
            await eventually(lambda: "c0/0 cancelled" in turns.read_text())
            proxy.thaw()
            await eventually(lambda: "c0/0 ended" in turns.read_text())
    finally:
        await proxy.stop()
    steps = [line for line in turns.read_text().splitlines() if line.startswith("c0/0 ")]
    assert steps == ["c0/0 began", "c0/0 cancelled", "c0/0 began", "c0/0 ended"]
