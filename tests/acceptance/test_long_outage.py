"""A service outage that lasts longer than RabbitMQ's consumer time-out."""

from __future__ import annotations

import asyncio

from tests.support.broker import Broker
from tests.support.declared import declare_as_before
from tests.support.load import HANDLER
from tests.support.system import CONCURRENCY, System

HANGING_HANDLER = (
    HANDLER
    + """

unhurried = handle


async def handle(message, output):
    try:
        os.rename("hang", "hung")
    except FileNotFoundError:
        await unhurried(message, output)
    else:
        await asyncio.Event().wait()
"""
)
"""The first attempt that finds the file `hang` never ends."""


async def test_deliver_may_hold_replies_past_the_consumer_timeout_that_ends_a_turn(
    own_broker: Broker, own_system: System
) -> None:
    """The hanging turn proves that the broker's consumer time-out is in force."""
    own_broker.set(consumer_timeout=3000, channel_tick_interval=1000)
    system = own_system
    await declare_as_before(own_broker.url, system.project.namespace, 4)
    system.project.write("handler.py", HANGING_HANDLER)
    _, worker, deliver = await asyncio.gather(
        system.project.webhook(system.ports[0]), system.worker(), system.project.deliver()
    )
    system.load.ports.pop()
    async with system.load.running(conversations=20, rate=40):
        await system.progress(20)
        await system.load.service.stop()
        await deliver.prints("circuit breaker open: the service is down")
        system.project.write("hang", "")
        await worker.prints("delivery acknowledgement")
        await system.load.service.start()
        await system.progress(100)
    ledger = await system.load.settled()
    # Turns that ran when the broker closed the worker's channel run again.
    ledger.check(repeated_turns=CONCURRENCY, repeated_replies=CONCURRENCY)
    assert "not connected" not in deliver.log
    assert "quarantined" not in deliver.log
