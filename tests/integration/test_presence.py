"""Processes show the broker that they are connected, and lose no connection by it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from bridge.broker.connection import connect
from bridge.broker.presence import Presence, presence_queue
from bridge.runtime.role import close
from tests.support.broker import Broker
from tests.support.waiting import eventually

AT_ONCE = 6
"""Processes that start at the same moment."""
FLOWS = 30


async def test_processes_that_start_together_keep_their_connections(
    broker: Broker, namespace: str
) -> None:
    """To consume a queue that another process still declares would cost the connection."""
    queues = [presence_queue(namespace, "replies", f"c{n}") for n in range(FLOWS)]
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(connect(broker.url, "test"))
        connections = [
            await stack.enter_async_context(connect(broker.url, "test")) for _ in range(AT_ONCE)
        ]
        running = [
            asyncio.ensure_future(Presence(lambda it=it: it, queues).run())  # type: ignore[misc]
            for it in connections
        ]
        stack.push_async_callback(close, running)

        async def all_are_present() -> bool:
            lost = [it.lost_with for it in connections if it.lost_with.done()]
            assert not lost, lost
            depths = await observer.depths(queues)
            return [depths[name].consumers for name in depths] == [AT_ONCE] * FLOWS

        await eventually(all_are_present)
