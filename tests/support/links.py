"""Links that run for the duration of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.broker.links import Link
from bridge.runtime.role import close
from tests.support.waiting import eventually


@asynccontextmanager
async def up(*links: Link) -> AsyncIterator[None]:
    """Run links for the duration of the block, which begins when all are ready."""
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        for link in links:
            await eventually(lambda link=link: link.ready.is_set(), f"{link.name} is ready")
        yield
    finally:
        await close(tasks)
