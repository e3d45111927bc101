"""A conversation has one holder at a time, in any thread; nothing expires, and nothing polls."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.waiting import eventually
from worker.locks import ConversationLocks


class Holders:
    """Records who holds a conversation."""

    def __init__(self) -> None:
        self.locks = ConversationLocks()
        self.order: list[str] = []
        self.inside = 0
        self.most = 0

    async def hold(self, name: str, release: asyncio.Event | None = None) -> None:
        async with self.locks.lock("ada", 0.0, wait_time_in_seconds=60):
            self.order.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
            await (release.wait() if release else asyncio.sleep(0))
            self.inside -= 1


async def test_holders_follow_each_other_in_their_order() -> None:
    holders = Holders()
    await asyncio.gather(*(holders.hold(name) for name in "abcd"))
    assert holders.order == list("abcd")
    assert holders.most == 1
    assert not holders.locks._lines, "memory stays bounded"


async def test_another_conversation_is_free() -> None:
    holders, release = Holders(), asyncio.Event()
    first = asyncio.create_task(holders.hold("a", release))
    await eventually(lambda: holders.order == ["a"])
    async with holders.locks.lock("bob"):
        pass
    release.set()
    await first


async def test_a_cancelled_wait_leaves_the_line() -> None:
    holders, release = Holders(), asyncio.Event()
    tasks = [
        asyncio.create_task(holders.hold("a", release)),
        asyncio.create_task(holders.hold("b")),
        asyncio.create_task(holders.hold("c")),
    ]
    await eventually(lambda: holders.order == ["a"])
    tasks[1].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await tasks[1]
    release.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert holders.order == ["a", "c"]


async def test_a_cancelled_or_failed_holder_lets_go() -> None:
    holders = Holders()
    task = asyncio.create_task(holders.hold("a", asyncio.Event()))
    await eventually(lambda: holders.order == ["a"])
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    with pytest.raises(ValueError, match="broken"):
        async with holders.locks.lock("ada"):
            raise ValueError("broken")
    await holders.hold("b")
    assert holders.order == ["a", "b"]


async def test_the_event_loop_of_another_thread_waits_as_well() -> None:
    """rasa-pro's privacy jobs take the lock in a thread of a scheduler."""
    holders, release = Holders(), asyncio.Event()
    first = asyncio.create_task(holders.hold("turn", release))
    await eventually(lambda: holders.order == ["turn"])
    thread = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(holders.hold("job"))))
    await eventually(lambda: len(holders.locks._lines["ada"]) == 2)
    later = asyncio.create_task(holders.hold("next"))
    release.set()
    await asyncio.gather(first, thread, later)
    assert holders.order == ["turn", "job", "next"]
    assert holders.most == 1
