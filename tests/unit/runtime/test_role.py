"""How links are closed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from bridge.runtime import role


async def test_a_link_that_swallows_a_cancellation_is_still_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(role, "INSIST", 0.01)
    swallowed = asyncio.Event()

    async def link() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(link())
    await asyncio.sleep(0)
    await role.close([task])
    assert swallowed.is_set()
    assert task.cancelled()


async def test_links_are_closed_one_by_one_starting_with_the_last() -> None:
    closed = []

    async def link(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    tasks = [asyncio.ensure_future(link(name)) for name in ("publisher", "consumer")]
    await asyncio.sleep(0)
    await role.close(tasks)
    assert closed == ["consumer", "publisher"]
